using Npgsql;

namespace Reports;

/// <summary>Opened its database before the snapshot, so that a connection is in the pool.</summary>
public class Database
{
    private readonly string where = Environment.GetEnvironmentVariable("DATABASE")!;

    public Database() => Handle();

    /// <summary>What the server answers: the number of the connection it was asked on.</summary>
    public int Handle()
    {
        using var connection = new NpgsqlConnection(where);
        connection.Open();
        using var command = new NpgsqlCommand("SELECT connection", connection);
        return (int)command.ExecuteScalar()!;
    }
}
