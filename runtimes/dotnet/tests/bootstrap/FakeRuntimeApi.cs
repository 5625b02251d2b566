using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Thaw.Tests.Bootstrap;

/// <summary>A server that gives one answer after the other to whatever it is asked on one connection.</summary>
internal sealed class FakeRuntimeApi : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Task serving;

    public FakeRuntimeApi(params string[] answers)
    {
        listener.Start();
        serving = Task.Run(() => Serve(answers));
    }

    public string Address => listener.LocalEndpoint.ToString()!;

    /// <summary>What was asked, each request as it came.</summary>
    public List<string> Requests { get; } = [];

    public static string Answer(int status, string body = "", string headers = "") =>
        $"HTTP/1.1 {status} X\r\n{headers}Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}";

    public void Dispose()
    {
        listener.Dispose();
        serving.Wait();
    }

    private void Serve(string[] answers)
    {
        try
        {
            using var socket = listener.AcceptSocket();
            foreach (var answer in answers)
            {
                Requests.Add(Request(socket));
                // In two pieces: what is read at once is chance.
                var bytes = Encoding.UTF8.GetBytes(answer);
                socket.Send(bytes[..(bytes.Length / 2)]);
                Thread.Yield();
                socket.Send(bytes[(bytes.Length / 2)..]);
            }
        }
        catch (SocketException)
        {
            // The client or the test is done.
        }
    }

    private static string Request(Socket socket)
    {
        using var got = new MemoryStream();
        var buffer = new byte[1024 * 1024];
        do
        {
            var count = socket.Receive(buffer);
            if (count == 0)
                break;
            got.Write(buffer, 0, count);
        }
        while (!IsWhole(Encoding.UTF8.GetString(got.GetBuffer(), 0, (int)got.Length)));
        return Encoding.UTF8.GetString(got.GetBuffer(), 0, (int)got.Length);
    }

    private static bool IsWhole(string text)
    {
        var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0)
            return false;
        if (text.Contains("chunked", StringComparison.Ordinal))
            return text.Contains("\r\n0\r\n", StringComparison.Ordinal) && text.EndsWith("\r\n\r\n", StringComparison.Ordinal);
        var length = text.Split("Content-Length: ") is [_, var rest] ? int.Parse(rest.Split("\r\n")[0], null) : 0;
        return Encoding.UTF8.GetByteCount(text.AsSpan(end + 4)) >= length;
    }
}
