using System.Text;
using Thaw.Bootstrap;

namespace Thaw.Tests.Bootstrap;

/// <summary>Keeps what is logged.</summary>
internal sealed class Sink : ILogSink
{
    private readonly StringBuilder text = new();

    public string Text => text.ToString();

    public void Write(ReadOnlySpan<char> text) => this.text.Append(text);
}
