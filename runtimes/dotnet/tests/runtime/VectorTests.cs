using System.Globalization;
using System.Text.Json;
using Thaw.Runtime;
using Xunit;

namespace Thaw.Tests.Runtime;

/// <summary>The records of every language's tests (runtimes/protocol/vectors.json), by the half that is ours.</summary>
public class VectorTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors.json"))).RootElement;

    public static TheoryData<string> Written =>
        Names("both", vector => Text(vector, "kind") is "frozen" or "thawed" or "book" or "opened");

    public static TheoryData<string> Read => Names("both", vector => Text(vector, "kind") is "start" or "thaw");

    public static TheoryData<string> ReadOfANewerAgent => Names("read", vector => Text(vector, "kind") is "start" or "thaw");

    public static TheoryData<string> Refused => Names("refused", vector => Text(vector, "to") is "runtime");

    [Theory]
    [MemberData(nameof(Written))]
    public void WhatTheRuntimeSaysIsWrittenAsTheVector(string name)
    {
        var vector = Find("both", name);
        Assert.Equal(Text(vector, "hex"), Convert.ToHexString(Write(vector)).ToLowerInvariant());
    }

    [Theory]
    [MemberData(nameof(Read))]
    public void WhatTheAgentSaysIsReadAsTheVector(string name) => Understands(Find("both", name));

    [Theory]
    [MemberData(nameof(ReadOfANewerAgent))]
    public void WhatANewerAgentSaysIsReadAsTheVector(string name) => Understands(Find("read", name));

    [Theory]
    [MemberData(nameof(Refused))]
    public void WhatIsNoRecordForARuntimeIsRefused(string name)
    {
        var data = Bytes(Find("refused", name));
        Assert.Throws<MalformedException>(() => { Records.Names(Records.Split(data, Kind.Start)); });
        Assert.Throws<MalformedException>(() => { Records.Entropy(Records.Split(data, Kind.Thaw)); });
    }

    private static void Understands(JsonElement vector)
    {
        var data = Bytes(vector);
        if (Text(vector, "kind") == "start")
        {
            var expected = vector.GetProperty("leave_out").EnumerateArray().Select(each => each.GetString());
            Assert.Equal(expected, Records.Names(Records.Split(data, Kind.Start)));
        }
        else
        {
            var secret = Records.Entropy(Records.Split(data, Kind.Thaw));
            Assert.Equal(Text(vector, "entropy"), Convert.ToHexString(secret).ToLowerInvariant());
        }
    }

    private static byte[] Write(JsonElement vector)
    {
        var kind = Text(vector, "kind");
        if (kind == "book")
            return WriteBook(vector);
        var said = vector.GetProperty("report");
        var report = new Report();
        report.Begin(kind switch { "frozen" => Kind.Frozen, "thawed" => Kind.Thawed, _ => Kind.Opened }, Text(said, "runtime"), Text(said, "version"));
        foreach (var fixer in said.GetProperty("fixers").EnumerateArray())
        {
            var result = Text(fixer, "result") switch { "ok" => Result.Renewed, "skipped" => Result.Skipped, "failed" => Result.Failed, _ => Result.Absent };
            report.AddFixer(
                Text(fixer, "name"), Text(fixer, "version"), result, fixer.GetProperty("essential").GetBoolean(),
                fixer.GetProperty("us").GetUInt64(), Text(fixer, "detail"));
        }
        foreach (var hook in said.GetProperty("hooks").EnumerateArray())
            report.AddHook(Text(hook, "name"), hook.GetProperty("us").GetUInt64(), hook.GetProperty("ok").GetBoolean());
        foreach (var note in said.GetProperty("notes").EnumerateArray())
            report.AddNote(note.GetString()!);
        var hooks = !vector.TryGetProperty("hooks", out var given) || given.GetBoolean();
        return report.End(said.GetProperty("us").GetUInt64(), hooks ? (ushort)0 : Report.NoHooks).ToArray();
    }

    private static byte[] WriteBook(JsonElement vector)
    {
        var canary = vector.GetProperty("canary");
        var words = canary.GetProperty("words").EnumerateArray().Select(Number).ToArray();
        var entries = vector.GetProperty("entries").EnumerateArray().Select(entry => (
            Text(entry, "kind") switch { "four words" => Shape.FourWords, "one word" => Shape.OneWord, "derived" => Shape.Derived, _ => Shape.OpenSsl },
            Number(entry.GetProperty("table")),
            Text(entry, "name")));
        return Book.Record(Number(canary.GetProperty("table")), words, [.. entries]);
    }

    private static TheoryData<string> Names(string section, Func<JsonElement, bool> of) =>
        [.. Vectors.GetProperty(section).EnumerateArray().Where(of).Select(vector => Text(vector, "name")).Distinct()];

    private static JsonElement Find(string section, string name) =>
        Vectors.GetProperty(section).EnumerateArray().First(vector =>
            Text(vector, "name") == name && (section != "refused" || Text(vector, "to") == "runtime"));

    private static ulong Number(JsonElement hex) => ulong.Parse(hex.GetString()!, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static string Text(JsonElement value, string name) => value.GetProperty(name).GetString()!;

    private static byte[] Bytes(JsonElement vector) => Convert.FromHexString(Text(vector, "hex"));
}
