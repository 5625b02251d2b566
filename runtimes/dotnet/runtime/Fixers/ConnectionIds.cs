namespace Thaw.Runtime.Fixers;

/// <summary>Ids of Kestrel's connections. The counter is compiled into each of its transports.</summary>
internal sealed class ConnectionIds : Counters
{
    private const string Type = "Microsoft.AspNetCore.Connections.CorrelationIdGenerator";
    private const string Kestrel = "Microsoft.AspNetCore.Server.Kestrel";
    private static readonly string[] Parts = ["Core", "Transport.Sockets", "Transport.NamedPipes", "Transport.Quic"];

    public override string Name => "kestrel";

    public override string Library => $"{Kestrel}.Core";

    protected override IEnumerable<(string Assembly, string Type, string Field)> Known =>
        from part in Parts
        select ($"{Kestrel}.{part}", Type, "_lastId");
}
