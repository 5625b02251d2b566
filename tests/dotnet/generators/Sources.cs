using System.Diagnostics;
using System.Net.Security;
using System.Reflection;
using System.Runtime;
using System.Security.Cryptography;
using Amazon.Runtime.Credentials;
using Datadog.Trace.Util;
using MassTransit;
using MathNet.Numerics.Distributions;
using MathNet.Numerics.Random;
using Microsoft.ApplicationInsights.DataContracts;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using MongoDB.Bson;
using Polly;
using Polly.Retry;
using UUIDNext;

namespace Generators;

/// <summary>
/// Everything that may repeat in clones, by name. "kernel: " draws from the kernel at each call, "kept: " repeats on purpose
/// or because nothing can change it; every other one has a fixer, whose name stands before the colon.
/// </summary>
internal static class Sources
{
    private const BindingFlags Any = BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    private static readonly Random Static = new();
    private static readonly Random[] Many = [.. Enumerable.Range(0, 200).Select(_ => new Random())];
    private static readonly Func<long> Captured = Capture();
    private static readonly Random Seeded = new(42);
    private static readonly Random Derived = new DerivedRandom();
    private static readonly Xorshift Xorshift = new();
    private static readonly Normal Bell = new(0, 1);
    private static readonly ServiceProvider Services = new ServiceCollection().AddSingleton<Singleton>().BuildServiceProvider();
    private static readonly string KeptGuid = Guid.NewGuid().ToString();

    /// <summary>Kestrel's counter is internal, and the type of a transport that is loaded by nothing else here.</summary>
    private static readonly MethodInfo NextConnection = Assembly.Load("Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets")
        .GetType("Microsoft.AspNetCore.Connections.CorrelationIdGenerator", throwOnError: true)!.GetMethod("GetNextId", Any)!;

    private static readonly FieldInfo Jitter = typeof(Amazon.Runtime.Internal.StandardRetryPolicy).GetField("_randomJitter", Any)!;

    public static IReadOnlyDictionary<string, Func<string>> All { get; } = new Dictionary<string, Func<string>>
    {
        ["random: Random.Shared"] = () => $"{Random.Shared.NextInt64():x}",
        ["random: a static field"] = () => Locked(Static, () => $"{Static.NextInt64():x}"),
        ["random: an array of many"] = () => string.Join(' ', Locked(Many, () => Many.Select(each => each.NextInt64()).ToArray()).Select(each => $"{each:x}")),
        ["random: a captured variable"] = () => Locked(Captured, () => $"{Captured():x}"),
        ["random: a singleton's field"] = () => Locked(Services, () => Services.GetRequiredService<Singleton>().Next()),
        ["random: AWS SDK's jitter"] = () => Locked(Jitter, () => $"{((Random)Jitter.GetValue(null)!).NextInt64():x}"),
        ["random: Polly's jitter"] = Delay,
        ["activity: trace id"] = () => ActivityTraceId.CreateRandom().ToHexString(),
        ["activity: span id"] = () => ActivitySpanId.CreateRandom().ToHexString(),
        ["activity: Activity"] = () => new Activity("a").SetIdFormat(ActivityIdFormat.W3C).Start().Id!,
        ["datadog: span id"] = () => $"{RandomIdGenerator.Shared.NextSpanId():x}",
        ["ulid: Ulid"] = () => Ulid.NewUlid().ToString()[10..],
        ["uuidnext: version 4"] = () => Uuid.NewRandom().ToString(),
        ["uuidnext: version 7"] = () => Uuid.NewSequential().ToString()[19..], // without its time and sequence
        ["applicationinsights: operation"] = () => new RequestTelemetry().Id,
        ["mathnet: default generator"] = () => $"{SystemRandomSource.Default.NextInt64():x}",
        ["mathnet: default Mersenne twister"] = () => $"{MersenneTwister.Default.NextInt64():x}",
        ["mathnet: a distribution"] = () => Locked(Bell, () => $"{Bell.Sample()}"),
        ["openssl: RandomNumberGenerator"] = () => Convert.ToHexString(RandomNumberGenerator.GetBytes(16)),
        ["openssl: an AES key"] = AesKey,
        ["openssl: an EC key"] = EcKey,
        ["openssl: a ClientHello"] = ClientHello,
        ["aspnetcore: TraceIdentifier"] = () => new HttpRequestIdentifierFeature().TraceIdentifier,
        ["kestrel: connection id"] = () => (string)NextConnection.Invoke(null, null)!,
        ["mongodb: ObjectId"] = () => ObjectId.GenerateNewId().ToString()[8..],
        ["newid: NewId"] = () => NewId.Next().ToString()[..18], // without its time
        ["newid: Guid"] = () => NewId.NextGuid().ToString()[..18],
        ["sqlite: randomblob"] = () => Drivers.RandomBlob(),
        ["awssdk: access key"] = () => Locked(Jitter, () => DefaultAWSCredentialsIdentityResolver.GetCredentials().GetCredentials().AccessKey),
        ["kernel: Guid"] = () => Guid.NewGuid().ToString(),
        ["kernel: file name"] = Path.GetRandomFileName,
        ["kernel: multipart boundary"] = () => new MultipartContent().Headers.ContentType!.Parameters.First().Value!,
        ["kernel: a new Random"] = () => $"{new Random().NextInt64():x}",
        ["kernel: host name"] = () => Environment.MachineName,
        ["kept: new Random(42)"] = () => Locked(Seeded, () => $"{Seeded.NextInt64():x}"),
        ["kept: a class that derives from Random"] = () => Locked(Derived, () => $"{Derived.NextInt64():x}"),
        ["kept: Math.NET's own generator"] = () => Locked(Xorshift, () => $"{Xorshift.NextInt64():x}"),
        ["kept: a hash code of text"] = () => $"{"thaw".GetHashCode(StringComparison.Ordinal):x}",
        ["kept: HashCode"] = () => $"{HashCode.Combine(1, 2):x}",
        ["kept: process id"] = () => $"{Environment.ProcessId}",
        ["kept: a Guid of the init"] = () => KeptGuid,
        ["kept: the collector"] = () => GCSettings.IsServerGC ? "server" : "workstation",
    };

    private static T Locked<T>(object gate, Func<T> draw)
    {
        lock (gate)
        {
            return draw();
        }
    }

    private static Func<long> Capture()
    {
        var random = new Random();
        return () => random.NextInt64();
    }

    private static string Delay()
    {
        var delay = TimeSpan.Zero;
        var retry = new RetryStrategyOptions
        {
            MaxRetryAttempts = 1,
            Delay = TimeSpan.FromHours(1),
            UseJitter = true,
            BackoffType = DelayBackoffType.Exponential,
            OnRetry = arguments =>
            {
                delay = arguments.RetryDelay;
                throw new OperationCanceledException("nobody waits for it");
            },
        };
        try
        {
            new ResiliencePipelineBuilder().AddRetry(retry).Build().Execute(() => throw new InvalidOperationException());
        }
        catch (OperationCanceledException)
        {
            // As meant.
        }
        return $"{delay.Ticks}";
    }

    private static string AesKey()
    {
        using var aes = Aes.Create();
        return Convert.ToHexString(aes.Key);
    }

    private static string EcKey()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return Convert.ToHexString(key.ExportParameters(false).Q.X!);
    }

    private static string ClientHello()
    {
        var wire = new Hello();
        using var client = new SslStream(wire);
        try
        {
            client.AuthenticateAsClient("thaw.example");
        }
        catch (Exception error) when (error is IOException or System.Security.Authentication.AuthenticationException)
        {
            // Nobody answers; the random part and the key share have been written.
        }
        return Convert.ToHexString(SHA256.HashData(wire.Written.ToArray()));
    }

    private sealed class DerivedRandom : Random;

    private sealed class Singleton
    {
        private readonly Random random = new();

        public string Next() => $"{random.NextInt64():x}";
    }

    /// <summary>A connection that takes what is written and is then at its end.</summary>
    private sealed class Hello : Stream
    {
        public MemoryStream Written { get; } = new();

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => 0;

        public override void Write(byte[] buffer, int offset, int count) => Written.Write(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
