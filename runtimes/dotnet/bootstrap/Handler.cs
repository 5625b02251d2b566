using System.Reflection;
using System.Runtime.CompilerServices;
using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>The user's method, bound to its object and its serializer.</summary>
/// <remarks>By plain reflection: it takes every shape of method, and compiled expressions would be slower at the first call.</remarks>
internal sealed class Handler
{
    private readonly MethodInfo method;
    private readonly object? target;
    private readonly bool takesContext;
    private readonly Func<Stream, object?>? read;
    private readonly Action<object?, Stream>? write;
    private readonly PropertyInfo? taskResult;

    private Handler(MethodInfo method, object? target, ILambdaSerializer? serializer)
    {
        this.method = method;
        this.target = target;
        Serializer = serializer;

        var parameters = Array.ConvertAll(method.GetParameters(), parameter => parameter.ParameterType);
        takesContext = parameters is [.., var last] && last == typeof(ILambdaContext);
        if (parameters.Length > 2)
            throw Refused("has more than two parameters");
        if (parameters.Length == 2 && !takesContext)
            throw Refused("has two parameters, and the second one is not ILambdaContext");
        if (parameters.Length - (takesContext ? 1 : 0) == 1)
            read = Reader(parameters[0]);

        var result = method.ReturnType;
        if (TaskOf(result) is { } task)
        {
            taskResult = task.GetProperty(nameof(Task<>.Result));
            result = task.GenericTypeArguments[0];
        }
        else if (typeof(Task).IsAssignableFrom(result))
        {
            result = typeof(void);
        }
        if (result != typeof(void))
            write = Writer(result);
    }

    /// <summary>The function's serializer, if it names one.</summary>
    public ILambdaSerializer? Serializer { get; }

    /// <summary>Load, check and construct, on the calling thread.</summary>
    /// <exception cref="LambdaValidationException">The handler's name or shape is wrong.</exception>
    public static Handler Load(string name)
    {
        var (type, method) = HandlerMethod.Find(HandlerName.Parse(name));
        object? target = null;
        if (method.IsStatic)
            RuntimeHelpers.RunClassConstructor(type.TypeHandle);
        else
            target = Activator.CreateInstance(type); // what it throws comes in a TargetInvocationException, as on Lambda
        return new(method, target, Serializers.Find(method, type.Assembly));
    }

    /// <summary>One invocation. Nothing is written for a method without a result: its response is empty.</summary>
    public void Invoke(Stream input, ILambdaContext context, Stream output)
    {
        object?[] arguments = (read, takesContext) switch
        {
            (null, false) => [],
            (null, true) => [context],
            (not null, false) => [read(input)],
            (not null, true) => [read(input), context],
        };
        var result = Call(method, target, arguments);
        if (result is Task task && (taskResult is not null || write is null))
        {
            task.GetAwaiter().GetResult(); // Lambda's client blocks here too; there is nothing else to do meanwhile
            result = taskResult?.GetValue(task);
        }
        write?.Invoke(result, output);
    }

    private Func<Stream, object?> Reader(Type type)
    {
        if (type == typeof(Stream))
            return stream => stream;
        var (serializer, deserialize) = Serialization(nameof(ILambdaSerializer.Deserialize), type, "input");
        return stream => Call(deserialize, serializer, [stream]);
    }

    private Action<object?, Stream> Writer(Type type)
    {
        if (typeof(Stream).IsAssignableFrom(type))
            return Copy;
        var (serializer, serialize) = Serialization(nameof(ILambdaSerializer.Serialize), type, "result");
        return (result, output) => Call(serialize, serializer, [result, output]);
    }

    private static void Copy(object? result, Stream output)
    {
        using var stream = (Stream?)result;
        stream?.CopyTo(output);
    }

    private (ILambdaSerializer Serializer, MethodInfo Method) Serialization(string name, Type type, string what)
    {
        if (Serializer is null)
            throw Refused(
                $"has {type.FullName} as {what}, and neither it nor its assembly has the attribute LambdaSerializer. Add "
                    + "[assembly: LambdaSerializer(typeof(Amazon.Lambda.Serialization.SystemTextJson.DefaultLambdaJsonSerializer))]");
        return (Serializer, typeof(ILambdaSerializer).GetMethod(name)!.MakeGenericMethod(type));
    }

    /// <summary>Exceptions come as they were thrown, with the frames of the user's code first.</summary>
    private static object? Call(MethodInfo method, object? target, object?[] arguments) =>
        method.Invoke(target, BindingFlags.DoNotWrapExceptions, null, arguments, null);

    private static Type? TaskOf(Type? type) => type switch
    {
        null => null,
        { IsConstructedGenericType: true } when type.GetGenericTypeDefinition() == typeof(Task<>) => type,
        _ => TaskOf(type.BaseType),
    };

    private LambdaValidationException Refused(string why) => new($"the handler {method.DeclaringType?.FullName}.{method.Name} {why}");
}
