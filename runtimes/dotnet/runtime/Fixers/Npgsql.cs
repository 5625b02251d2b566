namespace Thaw.Runtime.Fixers;

/// <summary>PostgreSQL.</summary>
internal sealed class Npgsql : ConnectionPool
{
    public override string Name => "npgsql";

    public override string Library => "Npgsql";

    protected override string Connection => "Npgsql.NpgsqlConnection";
}
