using System.Text;
using System.Text.Json;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class MessageTemplateTests
{
    public static TheoryData<string, object?[], string> Messages => new()
    {
        { "no hole", [], "no hole" },
        { "{stays} without arguments", [], "{stays} without arguments" },
        { "{a} {b}", ["x", 1], "x 1" },
        { "{a} {b}", ["x"], "x {b}" },
        { "{a}", ["x", "too many"], "x" },
        { "{1} {0} {1}", ["x", "y"], "y x y" },
        { "{0} {2}", ["x", "y", "z"], "x y" }, // one is left out: in the order of the arguments then
        { "{{a}} {b}", ["x"], "{{a}} x" },
        { "{} {b}", ["x"], "{} x" },
        { "open {a", ["x"], "open {a" },
        { "close } {a}", ["x"], "close } x" },
        { "{a:0.0}", [1.25], "1.3" },
        { "{a:}", [1.25], "1.25" },
        { "{a:X2}", ["no number"], "no number" },
        { "{a:?}", [TimeSpan.Zero], "00:00:00" },
        { "{a}", [new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)], "2026-01-02T03:04:05.000Z" },
        { "{a}", [new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero)], "2026-01-02T03:04:05.000Z" },
        { "{a} {b}", [new DateOnly(2026, 1, 2), new TimeOnly(3, 4, 5)], "2026-01-02 03:04:05.000" },
        { "{a}", [new byte[] { 1, 255 }], "01FF" },
        { "{a}", [new byte[17]], new string('0', 32) + "... (17 bytes)" },
        { "{a} {b}", [new[] { 1 }, new Dictionary<string, int>()], "{a} {b}" },
        { "{a}", [null], "{a}" },
    };

    [Theory]
    [MemberData(nameof(Messages))]
    public void IsFilledAsLambdasClientFillsIt(string text, object?[] arguments, string filled) =>
        Assert.Equal(filled, MessageTemplate.Parse(text, arguments).Fill());

    public static TheoryData<string, object?[], string> Members => new()
    {
        { "{a} {b}", [1, true], """{"a":1,"b":true}""" },
        { "{a}", ["x"], """{"a":"x"}""" },
        { "{a}", [null], "{}" },
        { "{a} {b}", [1], """{"a":1}""" },
        { "{a:N1}", [1], """{"a":"1.0"}""" },
        { "{a}", [1.5], """{"a":1.5}""" },
        { "{a}", [double.NaN], """{"a":"NaN"}""" },
        { "{a}", ['x'], """{"a":"x"}""" },
        { "{a}", [new object?[] { 1, null, "x" }], """{"a":[1,null,"x"]}""" },
        { "{a}", [new Dictionary<string, int> { ["k"] = 1 }], """{"a":{"k":1}}""" },
        { "{@a}", [new { X = 1 }], """{"a":{"X":1}}""" },
        { "{1} {0}", ["x", "y"], """{"1":"y","0":"x"}""" },
        { "{a}", [new byte[] { 171 }], """{"a":"AB"}""" },
    };

    [Theory]
    [MemberData(nameof(Members))]
    public void GivesItsArgumentsAsMembers(string text, object?[] arguments, string members)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            MessageTemplate.Parse(text, arguments).WriteProperties(json, JsonSerializerOptions.Default);
            json.WriteEndObject();
        }

        Assert.Equal(members, Encoding.UTF8.GetString(buffer.ToArray()));
    }

    [Fact]
    public void WhatCannotBeSerializedIsWrittenAsText()
    {
        var cycle = new List<object>();
        cycle.Add(cycle);
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            MessageTemplate.Parse("{@a}", [new { Cycle = cycle }]).WriteProperties(json, JsonSerializerOptions.Default);
            json.WriteEndObject();
        }

        Assert.StartsWith("""{"a":"{ Cycle""", Encoding.UTF8.GetString(buffer.ToArray()), StringComparison.Ordinal);
    }
}
