namespace Thaw.Runtime.Fixers;

/// <summary>Oracle.</summary>
internal sealed class Oracle : ConnectionPool
{
    public override string Name => "oracle";

    public override string Library => "Oracle.ManagedDataAccess";

    protected override string Connection => "Oracle.ManagedDataAccess.Client.OracleConnection";
}
