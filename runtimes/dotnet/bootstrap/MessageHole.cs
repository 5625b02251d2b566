using System.Collections;
using System.Globalization;
using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>A hole in a <see cref="MessageTemplate"/>, from its brace to the one that closes it.</summary>
internal sealed class MessageHole
{
    private const int MostBytes = 16; // of an array, in a message

    private readonly string? format;
    private readonly bool whole;

    public MessageHole(int start, int end, string token)
    {
        Start = start;
        End = end;
        whole = token[0] == '@';
        var name = whole ? token[1..] : token;
        var colon = name.IndexOf(':', StringComparison.Ordinal);
        if (colon >= 0)
        {
            var given = name[(colon + 1)..].Trim();
            format = given.Length > 0 ? given : null;
            name = name[..colon];
        }
        Name = name.Trim();
    }

    public int Start { get; }

    public int End { get; }

    public string Name { get; }

    /// <summary>Of its argument.</summary>
    public int Index { get; set; }

    /// <summary>A value as part of the message; null when it has no place there.</summary>
    public string? Fill(object? value) => value switch
    {
        byte[] bytes => Hexadecimal(bytes),
        ReadOnlyMemory<byte> bytes => Hexadecimal(bytes.Span),
        Memory<byte> bytes => Hexadecimal(bytes.Span),
        null or IList or IDictionary => null,
        _ when format is not null => Formatted(value),
        _ => Time(value) ?? value.ToString() ?? "",
    };

    /// <summary>A value as JSON: collections whole, numbers as numbers.</summary>
    public void Write(Utf8JsonWriter json, object value, JsonSerializerOptions options)
    {
        if (value is IList list and not IList<byte>)
        {
            json.WriteStartArray();
            foreach (var item in list)
                WriteOne(json, item, options);
            json.WriteEndArray();
        }
        else if (value is IDictionary dictionary)
        {
            json.WriteStartObject();
            foreach (DictionaryEntry entry in dictionary)
            {
                json.WritePropertyName(entry.Key.ToString() ?? "");
                WriteOne(json, entry.Value, options);
            }
            json.WriteEndObject();
        }
        else
        {
            WriteOne(json, value, options);
        }
    }

    private void WriteOne(Utf8JsonWriter json, object? value, JsonSerializerOptions options)
    {
        if (value is null)
            json.WriteNullValue();
        else if (whole)
            json.WriteRawValue(Serialized(value, options));
        else if (format is not null)
            json.WriteStringValue(Formatted(value));
        else if (value is bool flag)
            json.WriteBooleanValue(flag);
        else if (value is byte or sbyte or short or ushort or int or uint or long or ulong or float or double or decimal)
            json.WriteRawValue(Serialized(value, JsonSerializerOptions.Default));
        else
            json.WriteStringValue(Simple(value));
    }

    private static string Simple(object value) => value switch
    {
        byte[] bytes => Hexadecimal(bytes),
        ReadOnlyMemory<byte> bytes => Hexadecimal(bytes.Span),
        Memory<byte> bytes => Hexadecimal(bytes.Span),
        _ => Time(value) ?? Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };

    /// <summary>As JSON; what cannot be serialized (a cycle, not a number) as a string, since a log line must not fail.</summary>
    private static string Serialized(object value, JsonSerializerOptions options)
    {
        try
        {
            return JsonSerializer.Serialize(value, value.GetType(), options);
        }
        catch (Exception error) when (error is JsonException or NotSupportedException or ArgumentException)
        {
            return JsonSerializer.Serialize(value.ToString());
        }
    }

    private static string? Time(object value) => value switch
    {
        DateTime time => Log.Time(time),
        DateTimeOffset time => time.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture),
        DateOnly date => date.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        TimeOnly time => time.ToString("HH:mm:ss.fff", CultureInfo.InvariantCulture),
        _ => null,
    };

    private string Formatted(object value)
    {
        try
        {
            return value is IFormattable formattable
                ? formattable.ToString(format, CultureInfo.CurrentCulture)
                : value.ToString() ?? "";
        }
        catch (FormatException)
        {
            return value.ToString() ?? "";
        }
    }

    private static string Hexadecimal(ReadOnlySpan<byte> bytes) => bytes.Length <= MostBytes
        ? Convert.ToHexString(bytes)
        : $"{Convert.ToHexString(bytes[..MostBytes])}... ({bytes.Length} bytes)";
}
