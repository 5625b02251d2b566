namespace Generators;

/// <summary>Drivers that are loaded, as a function's are that talked to its database while it was initialised.</summary>
internal static class Drivers
{
    public static void Load()
    {
        using var postgres = new Npgsql.NpgsqlConnection("Host=127.0.0.1");
        using var server = new Microsoft.Data.SqlClient.SqlConnection("Server=127.0.0.1");
        using var mysql = new MySqlConnector.MySqlConnection("Server=127.0.0.1");
    }

    public static ValueTask Nothing() => default;
}
