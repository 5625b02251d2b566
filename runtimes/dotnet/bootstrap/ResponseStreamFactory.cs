using System.Reflection;

namespace Thaw.Bootstrap;

/// <summary>
/// Makes streams of the function's own Core, whose types are internal: <typeparamref name="T"/> is its interface of a stream,
/// <paramref name="implementation"/> its class that calls delegates.
/// </summary>
internal sealed class ResponseStreamFactory<T>(Type implementation, Func<byte[], ResponseStream> begin)
{
    private const BindingFlags Hidden = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

    public T Make(byte[] prelude)
    {
        var stream = begin(prelude);
        var constructor = implementation.GetConstructors(Hidden).Single(each => each.GetParameters().Length == 1);
        var type = constructor.GetParameters()[0].ParameterType;
        var delegates = Activator.CreateInstance(type, nonPublic: true)!;
        void Set(string name, Delegate value) => type.GetProperty(name, Hidden)!.SetValue(delegates, value);
        Set("WriteAsync", stream.WriteAsync);
        Set("BytesWritten", () => stream.BytesWritten);
        Set("HasError", () => stream.HasError);
        Set("Dispose", stream.Close);
        return (T)constructor.Invoke([delegates]);
    }
}
