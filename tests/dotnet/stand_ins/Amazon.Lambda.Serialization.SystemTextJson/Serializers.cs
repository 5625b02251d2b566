using System;
using System.IO;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Amazon.Lambda.Core;

namespace Amazon.Lambda.Serialization.SystemTextJson
{
    public class JsonSerializerException : Exception
    {
        public JsonSerializerException(string message)
            : base(message)
        {
        }

        public JsonSerializerException(string message, Exception exception)
            : base(message, exception)
        {
        }
    }

    public abstract class AbstractLambdaJsonSerializer
    {
        protected JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

        public void Serialize<T>(T response, Stream responseStream)
        {
            try
            {
                using var writer = new Utf8JsonWriter(responseStream, WriterOptions);
                InternalSerialize(writer, response);
            }
            catch (Exception e)
            {
                throw new JsonSerializerException(
                    $"Error converting the response object of type {typeof(T).FullName} from the Lambda function to JSON: {e.Message}", e);
            }
        }

        public T Deserialize<T>(Stream requestStream)
        {
            try
            {
                using var copy = new MemoryStream();
                requestStream.CopyTo(copy);
                return InternalDeserialize<T>(copy.ToArray());
            }
            catch (Exception e)
            {
                throw new JsonSerializerException(
                    $"Error converting the Lambda event JSON payload to type {typeof(T).FullName}: {e.Message}", e);
            }
        }

        protected virtual JsonSerializerOptions CreateDefaultJsonSerializationOptions() => new()
        {
            DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
            PropertyNameCaseInsensitive = true,
            PropertyNamingPolicy = new AwsNamingPolicy(),
        };

        protected abstract void InternalSerialize<T>(Utf8JsonWriter writer, T response);

        protected abstract T InternalDeserialize<T>(byte[] utf8Json);
    }

    public class DefaultLambdaJsonSerializer : AbstractLambdaJsonSerializer, ILambdaSerializer
    {
        public DefaultLambdaJsonSerializer()
            : this(null)
        {
        }

        public DefaultLambdaJsonSerializer(Action<JsonSerializerOptions> customizer)
        {
            SerializerOptions = CreateDefaultJsonSerializationOptions();
            customizer?.Invoke(SerializerOptions);
        }

        protected JsonSerializerOptions SerializerOptions { get; }

        protected override void InternalSerialize<T>(Utf8JsonWriter writer, T response) =>
            JsonSerializer.Serialize(writer, response, SerializerOptions);

        protected override T InternalDeserialize<T>(byte[] utf8Json) => JsonSerializer.Deserialize<T>(utf8Json, SerializerOptions);
    }

    public class CamelCaseLambdaJsonSerializer : DefaultLambdaJsonSerializer
    {
        public CamelCaseLambdaJsonSerializer()
            : base(options => options.PropertyNamingPolicy = new AwsNamingPolicy(JsonNamingPolicy.CamelCase))
        {
        }
    }

    public class SourceGeneratorLambdaJsonSerializer<TSGContext> : AbstractLambdaJsonSerializer, ILambdaSerializer
        where TSGContext : JsonSerializerContext
    {
        private readonly TSGContext context;

        public SourceGeneratorLambdaJsonSerializer()
            : this(null)
        {
        }

        public SourceGeneratorLambdaJsonSerializer(Action<JsonSerializerOptions> customizer)
        {
            SerializerOptions = CreateDefaultJsonSerializationOptions();
            customizer?.Invoke(SerializerOptions);
            context = (TSGContext)Activator.CreateInstance(typeof(TSGContext), SerializerOptions);
        }

        protected JsonSerializerOptions SerializerOptions { get; }

        protected override void InternalSerialize<T>(Utf8JsonWriter writer, T response) =>
            JsonSerializer.Serialize(writer, response, Registered<T>());

        protected override T InternalDeserialize<T>(byte[] utf8Json) => JsonSerializer.Deserialize(utf8Json, Registered<T>());

        private JsonTypeInfo<T> Registered<T>() => context.GetTypeInfo(typeof(T)) as JsonTypeInfo<T>
            ?? throw new JsonSerializerException(
                $"No JsonTypeInfo registered in {context.GetType().FullName} for type {typeof(T).FullName}.");
    }

    public class AwsNamingPolicy : JsonNamingPolicy
    {
        private readonly JsonNamingPolicy otherwise;

        public AwsNamingPolicy()
        {
        }

        public AwsNamingPolicy(JsonNamingPolicy fallbackNamingPolicy) => otherwise = fallbackNamingPolicy;

        public override string ConvertName(string name) => name switch
        {
            "XAmzId2" => "x-amz-id-2",
            "XAmzRequestId" => "x-amz-request-id",
            _ => otherwise?.ConvertName(name) ?? name,
        };
    }
}
