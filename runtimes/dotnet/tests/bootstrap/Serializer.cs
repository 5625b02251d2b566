using System.Text.Json;
using Amazon.Lambda.Core;

namespace Thaw.Tests.Bootstrap;

/// <summary>The serializer of these tests' assembly.</summary>
public class Serializer : ILambdaSerializer
{
    public T Deserialize<T>(Stream requestStream) => JsonSerializer.Deserialize<T>(requestStream)!;

    public void Serialize<T>(T response, Stream responseStream) => JsonSerializer.Serialize(responseStream, response);
}

/// <summary>Another one, for one method.</summary>
public class Upper : ILambdaSerializer
{
    public T Deserialize<T>(Stream requestStream)
    {
        using var reader = new StreamReader(requestStream);
        return (T)(object)reader.ReadToEnd();
    }

    public void Serialize<T>(T response, Stream responseStream)
    {
        using var writer = new StreamWriter(responseStream); // disposes the stream too
        writer.Write(response?.ToString()?.ToUpperInvariant());
    }
}
