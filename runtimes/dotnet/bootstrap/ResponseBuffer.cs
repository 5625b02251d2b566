namespace Thaw.Bootstrap;

/// <summary>A response. It is used again: a serializer that disposes what it writes to must not take it from the next one.</summary>
internal sealed class ResponseBuffer : MemoryStream
{
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Usage", "CA2215", Justification = "It would end the stream.")]
    protected override void Dispose(bool disposing)
    {
        // There is nothing to give back.
    }
}
