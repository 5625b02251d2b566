using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>
/// A log message with holes for its arguments: <c>{name}</c>, <c>{name:format}</c>, <c>{@name}</c> in the order of the
/// arguments, or <c>{0}</c>. A hole without an argument stays as it is written.
/// </summary>
internal sealed class MessageTemplate
{
    private readonly string text;
    private readonly object?[] arguments;
    private readonly List<MessageHole> holes = [];

    private MessageTemplate(string text, object?[] arguments)
    {
        this.text = text;
        this.arguments = arguments;
    }

    public static MessageTemplate Parse(string text, object?[] arguments)
    {
        var template = new MessageTemplate(text, arguments);
        if (arguments.Length > 0)
        {
            template.Find();
            template.Number();
        }
        return template;
    }

    /// <summary>The message with its arguments.</summary>
    public string Fill()
    {
        if (holes.Count == 0)
            return text;
        var filled = new StringBuilder(text.Length * 2);
        var at = 0;
        foreach (var hole in holes)
        {
            filled.Append(text, at, hole.Start - at).Append(hole.Fill(Argument(hole)) ?? text[hole.Start..hole.End]);
            at = hole.End;
        }
        return filled.Append(text, at, text.Length - at).ToString();
    }

    /// <summary>The arguments as members of a record, by the names of their holes.</summary>
    public void WriteProperties(Utf8JsonWriter json, JsonSerializerOptions options)
    {
        foreach (var hole in holes)
        {
            if (Argument(hole) is { } value)
            {
                json.WritePropertyName(hole.Name);
                hole.Write(json, value, options);
            }
        }
    }

    private object? Argument(MessageHole hole) => hole.Index < arguments.Length ? arguments[hole.Index] : null;

    private void Find()
    {
        for (var at = text.IndexOf('{'); at >= 0; at = text.IndexOf('{', at))
        {
            if (at + 1 < text.Length && text[at + 1] == '{')
            {
                at += 2; // written twice it is a brace, and both stay
                continue;
            }
            var end = text.IndexOf('}', at);
            if (end < 0)
                return;
            if (end > at + 1)
                holes.Add(new(at, end + 1, text[(at + 1)..end]));
            at = end + 1;
        }
    }

    /// <summary>Numbers count as such when all holes have one and none is left out: <c>{0} {1} {0}</c>.</summary>
    private void Number()
    {
        var numbers = new int[holes.Count];
        var numbered = true;
        for (var each = 0; each < holes.Count; each++)
            numbered &= int.TryParse(holes[each].Name, NumberStyles.Integer, CultureInfo.InvariantCulture, out numbers[each]);
        var seen = numbers.Distinct().ToArray();
        numbered &= seen.Length > 0 && seen.Min() == 0 && seen.Max() == seen.Length - 1;
        for (var each = 0; each < holes.Count; each++)
            holes[each].Index = numbered ? numbers[each] : each;
    }
}
