using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Clients;

/// <summary>Stands for DynamoDB: one request, one answer.</summary>
public sealed class Table : IDisposable
{
    public const string Address = "http://127.0.0.1:8123";
    private const string Answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 17\r\nConnection: close\r\n\r\n"
        + """{"TableNames":[]}""";

    private readonly TcpListener listener = new(IPAddress.Loopback, 8123);

    public Table() => listener.Start();

    /// <summary>The request's text, when it has been answered.</summary>
    public async Task<string> AnswerOneAsync()
    {
        using var client = await listener.AcceptTcpClientAsync();
        var stream = client.GetStream();
        var data = new byte[16 * 1024];
        var length = 0;
        while (!Encoding.UTF8.GetString(data, 0, length).Contains("\r\n\r\n{", StringComparison.Ordinal))
            length += await stream.ReadAsync(data.AsMemory(length));
        await stream.WriteAsync(Encoding.UTF8.GetBytes(Answer));
        return Encoding.UTF8.GetString(data, 0, length);
    }

    public void Dispose() => listener.Dispose();
}
