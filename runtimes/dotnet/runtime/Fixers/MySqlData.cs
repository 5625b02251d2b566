namespace Thaw.Runtime.Fixers;

/// <summary>MySQL, Oracle's driver.</summary>
internal sealed class MySqlData : ConnectionPool
{
    public override string Name => "mysqldata";

    public override string Library => "MySql.Data";

    protected override string Connection => "MySql.Data.MySqlClient.MySqlConnection";
}
