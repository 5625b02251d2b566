using System.Runtime.InteropServices;

namespace Thaw.Runtime.Fixers;

/// <summary>OpenSSL: <c>RandomNumberGenerator</c>, keys, TLS. Its generators are in native memory, some for each thread.</summary>
/// <remarks>
/// The agent makes all of them reseed themselves before anything runs. RAND_add gives the first of them, of which the
/// others are seeded, the host's secret too. A process that has not loaded OpenSSL does not get it from here.
/// </remarks>
internal sealed unsafe class OpenSsl : Fixer
{
    private const int SeedSize = 48; // what a CTR-DRBG with AES-256 takes

    private readonly List<nint> functions = [];

    public override string Name => "openssl";

    public override bool Essential => true;

    public override IEnumerable<Generators> Generators(Loaded loaded) => [new(Shape.OpenSsl, null)];

    public override bool Find(Loaded loaded)
    {
        functions.Clear();
        foreach (var path in Libraries())
            // By its path in this process: it is there already, so this opens nothing.
            functions.Add(NativeLibrary.GetExport(NativeLibrary.Load(path), "RAND_add"));
        return functions.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        Span<byte> seed = stackalloc byte[SeedSize];
        foreach (var function in functions)
        {
            draw.Fill(seed);
            // No entropy is claimed, so that OpenSSL asks the kernel as well.
            fixed (byte* bytes = seed)
            {
                ((delegate* unmanaged<byte*, int, double, void>)function)(bytes, SeedSize, 0.0);
            }
        }
        return "RAND_add";
    }

    private static IEnumerable<string> Libraries() =>
        from line in File.ReadLines("/proc/self/maps")
        let at = line.IndexOf('/', StringComparison.Ordinal)
        where at >= 0 && Path.GetFileName(line).StartsWith("libcrypto.so.", StringComparison.Ordinal)
        group line by line[at..] into file
        select file.Key;
}
