using System.Diagnostics;
using System.Runtime.InteropServices;
using Amazon.Lambda.Core;

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

    public static string RandomBlob()
    {
        SQLitePCL.Batteries_V2.Init();
        using var connection = new Microsoft.Data.Sqlite.SqliteConnection("Data Source=:memory:");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT hex(randomblob(16))";
        return (string)command.ExecuteScalar()!;
    }

    /// <summary>A child, through .NET and through native code: what it has of ours.</summary>
    public static void Start(string python)
    {
        var script = Path.Combine(AppContext.BaseDirectory, "child.py");
        using var child = Process.Start(new ProcessStartInfo(python, [script]))!;
        child.WaitForExit();
        if (system($"{python} {script} quietly") != 0)
            throw new InvalidOperationException("a child of native code was given another environment");
    }

    [DllImport("libc")]
    private static extern int system(string command);

    /// <summary>A hook that registers another one when it runs. Core is only looked for here: a function need not have it.</summary>
    public static void RegisterLate() =>
        SnapshotRestore.RegisterBeforeSnapshot(() =>
        {
            SnapshotRestore.RegisterAfterRestore(Nothing);
            return default;
        });

    private static ValueTask Nothing() => default;
}
