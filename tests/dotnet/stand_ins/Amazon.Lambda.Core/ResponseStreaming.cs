#if CORE_3_1
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;

namespace Amazon.Lambda.Core.ResponseStreaming
{
    public class LambdaResponseStreamFactory
    {
        private static Func<byte[], ILambdaResponseStream> factory;

        public static LambdaResponseStream CreateStream() => Create([]);

        public static LambdaResponseStream CreateHttpStream(HttpResponseStreamPrelude prelude)
        {
            ArgumentNullException.ThrowIfNull(prelude);
            return Create(prelude.ToByteArray());
        }

        internal static void SetLambdaResponseStream(Func<byte[], ILambdaResponseStream> streamFactory) =>
            factory = streamFactory ?? throw new ArgumentNullException(nameof(streamFactory));

        private static LambdaResponseStream Create(byte[] prelude) => factory is null
            ? throw new InvalidOperationException("the runtime has not said how streams are made")
            : new LambdaResponseStream(factory(prelude));
    }

    public class HttpResponseStreamPrelude
    {
        public HttpStatusCode? StatusCode { get; set; }

        public IDictionary<string, string> Headers { get; set; } = new Dictionary<string, string>();

        public IDictionary<string, IList<string>> MultiValueHeaders { get; set; } = new Dictionary<string, IList<string>>();

        public IList<string> Cookies { get; set; } = [];

        internal byte[] ToByteArray()
        {
            var members = new Dictionary<string, object>();
            if (StatusCode is { } status)
                members["statusCode"] = (int)status;
            if (Headers?.Count > 0)
                members["headers"] = Headers;
            if (MultiValueHeaders?.Count > 0)
                members["multiValueHeaders"] = MultiValueHeaders;
            if (Cookies?.Count > 0)
                members["cookies"] = Cookies;
            return JsonSerializer.SerializeToUtf8Bytes(members);
        }
    }

    public class LambdaResponseStream : Stream
    {
        private readonly ILambdaResponseStream inner;

        internal LambdaResponseStream(ILambdaResponseStream responseStream) => inner = responseStream;

        public long BytesWritten => inner.BytesWritten;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => BytesWritten;

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken = default) =>
            inner.WriteAsync(buffer, offset, count, cancellationToken);

        public override void Write(byte[] buffer, int offset, int count) =>
            WriteAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }

    internal interface ILambdaResponseStream : IDisposable
    {
        long BytesWritten { get; }

        bool HasError { get; }

        Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken = default);
    }

    internal class ImplLambdaResponseStream : ILambdaResponseStream
    {
        private readonly Delegates delegates;

        internal ImplLambdaResponseStream(Delegates innerDelegates) => delegates = innerDelegates;

        public long BytesWritten => delegates.BytesWritten();

        public bool HasError => delegates.HasError();

        public void Dispose() => delegates.Dispose();

        public Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken = default) =>
            delegates.WriteAsync(buffer, offset, count, cancellationToken);

        internal class Delegates
        {
            internal Func<byte[], int, int, CancellationToken, Task> WriteAsync { get; set; }

            internal Func<long> BytesWritten { get; set; }

            internal Func<bool> HasError { get; set; }

            internal Action Dispose { get; set; }
        }
    }
}
#endif
