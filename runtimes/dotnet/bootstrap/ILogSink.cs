namespace Thaw.Bootstrap;

/// <summary>Where a log goes.</summary>
internal interface ILogSink
{
    /// <summary>Write a text whole, from any thread.</summary>
    void Write(ReadOnlySpan<char> text);
}
