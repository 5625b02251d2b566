namespace Thaw.Bootstrap;

/// <summary>Names of levels.</summary>
internal static class Levels
{
    private static readonly string[] ShortNames = ["trce", "dbug", "info", "warn", "fail", "crit"];

    /// <summary>The four letters in text records.</summary>
    public static string Short(this Level level) => ShortNames[(int)level];

    /// <summary>A level by .NET's name, as code gives it; null for anything else.</summary>
    public static Level? Parse(string? name) =>
        Enum.TryParse<Level>(name, ignoreCase: true, out var level) && Enum.IsDefined(level) ? level : null;

    /// <summary>A level as a setting gives it: by Lambda's name (<c>WARN</c>, <c>FATAL</c>) or .NET's.</summary>
    public static Level? Configured(string? name) => name?.ToUpperInvariant() switch
    {
        "WARN" => Level.Warning,
        "FATAL" => Level.Critical,
        _ => Parse(name),
    };
}
