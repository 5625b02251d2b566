using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Thaw.Bootstrap;

/// <summary>
/// One HTTP/1.1 connection that blocks. A clone begins here, and each method that it runs for the first time costs it:
/// HttpClient brings hundreds of them, sockets and spans a dozen.
/// </summary>
internal sealed class HttpConnection : IDisposable
{
    private const int LargestHead = 64 * 1024;
    private const int SmallBody = 64 * 1024; // is copied behind its head: one system call, and one segment

    private readonly Socket socket;
    private readonly byte[] buffer = new byte[LargestHead];

    /// <param name="address">A host and a port, as <c>127.0.0.1:9001</c>.</param>
    /// <exception cref="RuntimeApiException">Nobody listens there.</exception>
    public HttpConnection(string address)
    {
        Host = address;
        try
        {
            socket = Connected(address);
        }
        catch (Exception error) when (error is SocketException or FormatException)
        {
            throw new RuntimeApiException($"the Runtime API at '{address}' cannot be reached: {error.Message}", error);
        }
    }

    /// <summary>What follows <c>Host:</c>.</summary>
    public string Host { get; }

    /// <summary>Send a request's head, which ends in an empty line, and its body.</summary>
    public void Send(string head, ReadOnlySpan<byte> body)
    {
        var behind = body.Length <= SmallBody ? body : default;
        var length = Encoding.UTF8.GetByteCount(head);
        var request = ArrayPool<byte>.Shared.Rent(length + behind.Length);
        try
        {
            Encoding.UTF8.GetBytes(head, request);
            behind.CopyTo(request.AsSpan(length));
            Write(request.AsSpan(0, length + behind.Length));
            Write(body[behind.Length..]);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(request);
        }
    }

    /// <summary>Write bytes of a request whose head was sent.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        try
        {
            while (!bytes.IsEmpty)
                bytes = bytes[socket.Send(bytes, SocketFlags.None)..];
        }
        catch (SocketException error)
        {
            throw Lost(error);
        }
    }

    /// <summary>Wait for the answer, for as long as it takes.</summary>
    public HttpAnswer Receive()
    {
        int have = 0, end;
        while ((end = buffer.AsSpan(0, have).IndexOf("\r\n\r\n"u8)) < 0)
        {
            if (have == buffer.Length)
                throw new RuntimeApiException($"the Runtime API answered with a head of more than {LargestHead} bytes");
            have += Read(buffer.AsSpan(have));
        }
        var head = Encoding.UTF8.GetString(buffer, 0, end);
        if (!head.StartsWith("HTTP/1.1 ", StringComparison.Ordinal) || !int.TryParse(head.AsSpan(9, 3), out var status))
            throw new RuntimeApiException("the Runtime API did not answer with HTTP/1.1");
        var answer = new HttpAnswer(status, head, []);
        var given = answer.Header("Content-Length");
        if (!int.TryParse(given ?? "0", NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            || answer.Header("Transfer-Encoding") is not null)
            throw new RuntimeApiException("the Runtime API answered with a body whose length it does not say");
        var body = new byte[length];
        var got = Math.Min(length, have - end - 4);
        buffer.AsSpan(end + 4, got).CopyTo(body);
        while (got < length)
            got += Read(body.AsSpan(got));
        return answer with { Body = body };
    }

    public void Dispose() => socket.Dispose();

    private int Read(Span<byte> into)
    {
        try
        {
            var count = socket.Receive(into, SocketFlags.None);
            return count > 0 ? count : throw new RuntimeApiException("the Runtime API closed the connection");
        }
        catch (SocketException error)
        {
            throw Lost(error);
        }
    }

    private static Socket Connected(string address)
    {
        Socket? made = null;
        try
        {
            if (IPEndPoint.TryParse(address, out var point))
            {
                made = new Socket(point.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                made.Connect(point);
            }
            else
            {
                var colon = address.LastIndexOf(':');
                if (colon < 1 || !int.TryParse(address.AsSpan(colon + 1), out var port))
                    throw new FormatException("it is not HOST:PORT");
                made = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                made.Connect(address[..colon], port);
            }
            return made;
        }
        catch
        {
            made?.Dispose();
            throw;
        }
    }

    private static RuntimeApiException Lost(SocketException error) => new($"the Runtime API's connection: {error.Message}", error);
}
