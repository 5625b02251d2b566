using System.Globalization;
using System.Text;

namespace Thaw.Bootstrap;

/// <summary><c>Console.Out</c> or <c>Console.Error</c>: each WriteLine is a record of this level, each Write goes out as it is.</summary>
internal sealed class ConsoleLines(Log log, Level level) : TextWriter
{
    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value) => log.WriteRaw([value]);

    public override void Write(string? value) => log.WriteRaw(value);

    public override void Write(char[] buffer, int index, int count) => log.WriteRaw(buffer.AsSpan(index, count));

    public override void Write(ReadOnlySpan<char> buffer) => log.WriteRaw(buffer);

    public override void Write(StringBuilder? value) => log.WriteRaw(value?.ToString());

    // The base class writes a value and the line's end apart. Its overloads with a format come here as strings.
    public override void WriteLine() => log.Write(level, "");

    public override void WriteLine(string? value) => log.Write(level, value);

    public override void WriteLine(object? value) => log.Write(level, Convert.ToString(value, CultureInfo.CurrentCulture));

    public override void WriteLine(StringBuilder? value) => log.Write(level, value?.ToString());

    public override void WriteLine(ReadOnlySpan<char> buffer) => log.Write(level, new string(buffer));

    public override void WriteLine(char[] buffer, int index, int count) => log.Write(level, new string(buffer, index, count));

    public override void WriteLine(char[]? buffer) => log.Write(level, new string(buffer));

    public override void WriteLine(char value) => log.Write(level, value.ToString());

    public override void WriteLine(bool value) => log.Write(level, value.ToString());

    public override void WriteLine(int value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(uint value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(long value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(ulong value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(float value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(double value) => log.Write(level, value.ToString(FormatProvider));

    public override void WriteLine(decimal value) => log.Write(level, value.ToString(FormatProvider));
}
