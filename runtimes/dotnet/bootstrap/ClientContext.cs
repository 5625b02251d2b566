using System.Text.Json;
using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>What a mobile SDK says of itself. See <see cref="Context"/> for how it implements the interface.</summary>
internal sealed class ClientContext : IClientContext
{
    private ClientContext(JsonElement root)
    {
        Environment = root.Texts("env");
        Custom = root.Texts("custom");
        if (root.Member("client") is { ValueKind: JsonValueKind.Object } client)
            Client = new ClientApplication(client);
    }

    public IDictionary<string, string> Environment { get; }

    public IClientApplication? Client { get; }

    public IDictionary<string, string> Custom { get; }

    public static ClientContext Parse(string? json) => new(JsonElements.Parse(json));
}
