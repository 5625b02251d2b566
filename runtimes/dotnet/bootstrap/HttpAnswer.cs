namespace Thaw.Bootstrap;

/// <summary>An answer of the Runtime API. <c>Head</c> is its status line and headers as they came.</summary>
internal readonly record struct HttpAnswer(int Status, string Head, byte[] Body)
{
    /// <summary>A header's value by its name in any case; null where there is none.</summary>
    public string? Header(string name)
    {
        for (var at = Head.IndexOf("\r\n", StringComparison.Ordinal); at >= 0;)
        {
            var line = at + 2;
            at = Head.IndexOf("\r\n", line, StringComparison.Ordinal);
            var end = at < 0 ? Head.Length : at;
            if (end - line > name.Length
                && Head[line + name.Length] == ':'
                && Head.AsSpan(line, name.Length).Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return Head[(line + name.Length + 1)..end].Trim();
            }
        }
        return null;
    }
}
