using Amazon.Lambda.Core;

namespace Amazon.Lambda.RuntimeSupport;

public class LambdaBootstrapBuilder
{
    private readonly HandlerWrapper handler;
    private LambdaBootstrapInitializer initializer;

    private LambdaBootstrapBuilder(HandlerWrapper handler) => this.handler = handler;

    public static LambdaBootstrapBuilder Create(Func<Stream, Task<Stream>> handler) =>
        new(HandlerWrapper.GetHandlerWrapper(handler));

    public static LambdaBootstrapBuilder Create(Func<Stream, ILambdaContext, Task<Stream>> handler) =>
        new(HandlerWrapper.GetHandlerWrapper(handler));

    public static LambdaBootstrapBuilder Create<TInput>(Func<TInput, ILambdaContext, Task> handler, ILambdaSerializer serializer) =>
        new(HandlerWrapper.GetHandlerWrapper(handler, serializer));

    public static LambdaBootstrapBuilder Create<TInput, TOutput>(Func<TInput, TOutput> handler, ILambdaSerializer serializer) =>
        new(HandlerWrapper.GetHandlerWrapper(handler, serializer));

    public static LambdaBootstrapBuilder Create<TInput, TOutput>(Func<TInput, Task<TOutput>> handler, ILambdaSerializer serializer) =>
        new(HandlerWrapper.GetHandlerWrapper(handler, serializer));

    public static LambdaBootstrapBuilder Create<TInput, TOutput>(
        Func<TInput, ILambdaContext, TOutput> handler, ILambdaSerializer serializer) =>
        new(HandlerWrapper.GetHandlerWrapper(handler, serializer));

    public static LambdaBootstrapBuilder Create<TInput, TOutput>(
        Func<TInput, ILambdaContext, Task<TOutput>> handler, ILambdaSerializer serializer) =>
        new(HandlerWrapper.GetHandlerWrapper(handler, serializer));

    public LambdaBootstrapBuilder UseBootstrapHandler(LambdaBootstrapInitializer lambdaBootstrapInitializer)
    {
        initializer = lambdaBootstrapInitializer;
        return this;
    }

    public LambdaBootstrap Build() => new(handler, initializer);
}
