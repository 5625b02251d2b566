using Amazon.Lambda.Core;

namespace Thaw.Tests.Bootstrap;

/// <summary>Handlers of every shape.</summary>
public class Shapes : ShapesBase<int>
{
    public static int Constructed { get; private set; }

    public Shapes() => Constructed++;

    public string Text(string text) => $"<{text}>";

    public string WithContext(string text, ILambdaContext context) => $"{text} {context.AwsRequestId}";

    public string ContextAlone(ILambdaContext context) => context.FunctionName;

    public string NoParameter() => "nothing";

    public static string Static(string text) => text + text;

    private string Private(string text) => text;

    public void Nothing(string text)
    {
    }

    public Task TaskAlone(string text) => Task.Delay(1);

    public async Task<string> TaskOfText(string text)
    {
        await Task.Yield();
        return text;
    }

    public SpecialTask TaskOfOwnClass(string text)
    {
        var task = new SpecialTask(text);
        task.Start();
        return task;
    }

    public Stream Streams(Stream input) => input;

    public MemoryStream StreamOfOwnClass(Stream input) => new([1, 2, 3]);

    public async Task<Stream> TaskOfStream(Stream input)
    {
        await Task.Yield();
        return input;
    }

    public Stream? NoStream(Stream input) => null;

    public int Number(int number) => number + 1;

    public Record? Records(Record? record) => record;

    public string Throws(string text) => throw new InvalidOperationException(text);

    public async Task ThrowsLater(string text)
    {
        await Task.Yield();
        throw new InvalidOperationException(text);
    }

    [LambdaSerializer(typeof(Upper))]
    public string OwnSerializer(string text) => text;

    public string Overloaded(string text) => "text";

    public string Overloaded(int number) => "number";

    public async void AsyncVoid() => await Task.Yield();

    public string Params(params string[] texts) => "";

    public string Generic<T>(T value) => "";

    public string Three(string one, ILambdaContext context, int three) => "";

    public string SecondIsNoContext(string one, string two) => "";

    public record Record(string Name, int Age);

    public class Nested
    {
        public string Text(string text) => $"nested {text}";
    }

    public class NoConstructor(int number)
    {
        public int Number() => number;
    }

    public class FailingConstructor
    {
        public FailingConstructor() => throw new InvalidOperationException("no database");

        public void Run()
        {
        }
    }

    public static class FailingStaticConstructor
    {
        static FailingStaticConstructor() => throw new InvalidOperationException("no database");

        public static void Run()
        {
        }
    }
}

public class ShapesBase<T>
{
    public T OfBase(T value) => value;
}

public abstract class AbstractShape
{
    public abstract void Abstract();

    public void Instance()
    {
    }

    public static string Static() => "static";
}

public struct StructShape
{
    public string Text(string text) => $"struct {text}";
}

public class GenericShape<T>
{
    public void Run()
    {
    }
}

public class SpecialTask(string text) : Task<string>(() => text);
