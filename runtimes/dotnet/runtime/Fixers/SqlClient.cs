namespace Thaw.Runtime.Fixers;

/// <summary>SQL Server.</summary>
internal sealed class SqlClient : ConnectionPool
{
    public override string Name => "sqlclient";

    public override string Library => "Microsoft.Data.SqlClient";

    protected override string Connection => "Microsoft.Data.SqlClient.SqlConnection";
}
