using Amazon.Lambda.Core;

namespace Amazon.Lambda.RuntimeSupport;

/// <summary>A handler of any shape as one of streams.</summary>
public class HandlerWrapper : IDisposable
{
    private HandlerWrapper(LambdaBootstrapHandler handler) => Handler = handler;

    public LambdaBootstrapHandler Handler { get; }

    public static HandlerWrapper GetHandlerWrapper(Func<Stream, Task<Stream>> handler) =>
        new(async invocation => new(await handler(invocation.InputStream)));

    public static HandlerWrapper GetHandlerWrapper(Func<Stream, ILambdaContext, Task<Stream>> handler) =>
        new(async invocation => new(await handler(invocation.InputStream, invocation.LambdaContext)));

    public static HandlerWrapper GetHandlerWrapper<TInput>(
        Func<TInput, ILambdaContext, Task> handler, ILambdaSerializer serializer) =>
        new(async invocation =>
        {
            await handler(serializer.Deserialize<TInput>(invocation.InputStream), invocation.LambdaContext);
            return null;
        });

    public static HandlerWrapper GetHandlerWrapper<TInput, TOutput>(Func<TInput, TOutput> handler, ILambdaSerializer serializer) =>
        GetHandlerWrapper<TInput, TOutput>((input, _) => handler(input), serializer);

    public static HandlerWrapper GetHandlerWrapper<TInput, TOutput>(
        Func<TInput, Task<TOutput>> handler, ILambdaSerializer serializer) =>
        GetHandlerWrapper<TInput, TOutput>((input, _) => handler(input), serializer);

    public static HandlerWrapper GetHandlerWrapper<TInput, TOutput>(
        Func<TInput, ILambdaContext, TOutput> handler, ILambdaSerializer serializer) =>
        GetHandlerWrapper<TInput, TOutput>((input, context) => Task.FromResult(handler(input, context)), serializer);

    public static HandlerWrapper GetHandlerWrapper<TInput, TOutput>(
        Func<TInput, ILambdaContext, Task<TOutput>> handler, ILambdaSerializer serializer) =>
        new(async invocation =>
        {
            var output = new MemoryStream();
            serializer.Serialize(
                await handler(serializer.Deserialize<TInput>(invocation.InputStream), invocation.LambdaContext), output);
            output.Position = 0;
            return new(output);
        });

    public void Dispose() => GC.SuppressFinalize(this);
}
