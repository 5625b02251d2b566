using System.Buffers.Binary;
using Thaw.Runtime;
using Xunit;

namespace Thaw.Tests.Runtime;

public class ReportTests
{
    [Theory]
    [InlineData("x")]
    [InlineData("é")]
    [InlineData("\ud83e\uddca")]
    [InlineData("\ud800")]
    public void AnyNumberOfNotesFitsARecordAndWhatIsLeftOutIsSaid(string letter)
    {
        var report = new Report();
        foreach (var count in new[] { 1, 10, 2000 })
        {
            report.Begin(Kind.Frozen, Report.Reporter, "10.0.0");
            for (var index = 0; index < count; index++)
                report.AddNote(string.Concat(Enumerable.Repeat(letter, 100)));
            var record = report.End(1);
            Assert.InRange(record.Length, 1, Records.Largest);
            Assert.Equal(count == 2000 ? 1 : 0, BinaryPrimitives.ReadUInt16BigEndian(record[2..]));
            Assert.Equal(record.Length - Records.HeadSize, (int)BinaryPrimitives.ReadUInt32BigEndian(record[4..]));
        }
    }

    [Fact]
    public void ATextThatIsTooLongForItsLengthIsCut()
    {
        var report = new Report();
        report.Begin(Kind.Frozen, Report.Reporter, "10.0.0");
        report.AddNote(new string('x', 100_000));
        report.AddNote("after it");
        Assert.Equal(0, BinaryPrimitives.ReadUInt16BigEndian(report.End(1)[2..]));
    }
}
