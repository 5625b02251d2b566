namespace Thaw.Runtime.Fixers;

/// <summary>MySQL and MariaDB.</summary>
internal sealed class MySqlConnector : ConnectionPool
{
    public override string Name => "mysqlconnector";

    public override string Library => "MySqlConnector";

    protected override string Connection => "MySqlConnector.MySqlConnection";
}
