namespace Thaw.Runtime.Fixers;

/// <summary>SQL Server, the driver that .NET Framework had.</summary>
internal sealed class OldSqlClient : ConnectionPool
{
    public override string Name => "system-sqlclient";

    public override string Library => "System.Data.SqlClient";

    protected override string Connection => "System.Data.SqlClient.SqlConnection";
}
