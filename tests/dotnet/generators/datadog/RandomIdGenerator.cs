using System.Numerics;
using System.Security.Cryptography;

namespace Datadog.Trace.Util;

/// <summary>xoshiro256** for each thread, seeded once: as in the tracer's managed part.</summary>
public sealed class RandomIdGenerator
{
    [ThreadStatic]
    private static RandomIdGenerator? _random;

    private ulong _s0 = Seed(), _s1 = Seed(), _s2 = Seed(), _s3 = Seed();

    public static RandomIdGenerator Shared => _random ??= new();

    public ulong NextSpanId()
    {
        var result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        var t = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= t;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }

    private static ulong Seed() => BitConverter.ToUInt64(Guid.NewGuid().ToByteArray()) ^ (ulong)RandomNumberGenerator.GetInt32(int.MaxValue) << 32;
}
