using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>Members of JSON objects that may be of any shape: they come from whoever invokes.</summary>
internal static class JsonElements
{
    /// <summary>A member that is a string; null for anything else.</summary>
    public static string? Text(this JsonElement element, string name) =>
        element.Member(name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    /// <summary>A member's own members as texts; empty for anything but an object.</summary>
    public static Dictionary<string, string> Texts(this JsonElement element, string name)
    {
        var texts = new Dictionary<string, string>();
        if (element.Member(name) is { ValueKind: JsonValueKind.Object } inner)
        {
            foreach (var member in inner.EnumerateObject())
                texts[member.Name] = member.Value.ToString();
        }
        return texts;
    }

    /// <summary>A member of an object; undefined where there is none.</summary>
    public static JsonElement Member(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) ? value : default;

    /// <summary>A header's JSON; undefined for none, and for what is none.</summary>
    public static JsonElement Parse(string? json)
    {
        if (string.IsNullOrEmpty(json))
            return default;
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return default;
        }
    }
}
