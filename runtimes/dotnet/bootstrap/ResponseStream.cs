using System.Text;

namespace Thaw.Bootstrap;

/// <summary>A response that the handler writes piece by piece, as chunks of one request to the Runtime API.</summary>
internal sealed class ResponseStream
{
    private const int Delimiter = 8; // NUL bytes between the prelude and the body (Lambda, HTTP integration response)

    private readonly object gate = new();
    private readonly HttpConnection connection;
    private bool ended;

    public ResponseStream(HttpConnection connection, byte[] prelude)
    {
        this.connection = connection;
        if (prelude.Length > 0)
            WriteChunk([.. prelude, .. new byte[Delimiter]]);
    }

    /// <summary>Of the body, without the prelude.</summary>
    public long BytesWritten { get; private set; }

    public bool HasError { get; private set; }

    /// <summary>Write a piece, on the calling thread: when the task is there it is done.</summary>
    public Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
            return Task.FromCanceled(cancellation);
        lock (gate)
        {
            if (ended)
                throw new InvalidOperationException("the response was ended: nothing can be written to its stream any more");
            WriteChunk(buffer.AsSpan(offset, count));
            BytesWritten += count;
        }
        return Task.CompletedTask;
    }

    /// <summary>What the user's <c>Dispose</c> does: the end is sent when the handler returns, since it may still fail.</summary>
    public void Close()
    {
        lock (gate)
            ended = true;
    }

    /// <summary>End the response. An error goes into trailers: its head is on the way already.</summary>
    public void End(Exception? error)
    {
        lock (gate)
        {
            ended = true;
            HasError = error is not null;
            var end = new StringBuilder("0\r\n");
            if (error is not null)
            {
                end.Append("Lambda-Runtime-Function-Error-Type: ").Append(ErrorReport.NameOf(error)).Append("\r\n")
                    .Append("Lambda-Runtime-Function-Error-Body: ")
                    .Append(Convert.ToBase64String(ErrorReport.Write(error).Span)).Append("\r\n");
            }
            connection.Write(Encoding.UTF8.GetBytes(end.Append("\r\n").ToString()));
            connection.Receive();
        }
    }

    private void WriteChunk(ReadOnlySpan<byte> piece)
    {
        if (piece.IsEmpty)
            return; // a chunk of no bytes would be the end
        connection.Write([.. Encoding.ASCII.GetBytes($"{piece.Length:X}\r\n"), .. piece, .. "\r\n"u8]);
    }
}
