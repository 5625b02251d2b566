using System.Collections.Concurrent;

namespace Generators;

/// <summary>Threads that live in the snapshot: the one that calls, some of the function's own, and the pool's.</summary>
internal static class Threads
{
    private const int Own = 2;
    private const int Pool = 3;

    private static readonly BlockingCollection<Action>[] Queues = [.. Enumerable.Range(0, Own).Select(Start)];

    /// <summary>What every source says, by source and kind of thread. The pool's threads change places, so theirs is one list.</summary>
    public static Dictionary<string, List<string>> Draw()
    {
        var said = new ConcurrentDictionary<string, ConcurrentBag<string>>();
        Ask("main");
        using (var done = new CountdownEvent(Own))
        {
            for (var index = 0; index < Own; index++)
            {
                var place = $"own {index}";
                Queues[index].Add(() => { Ask(place); done.Signal(); });
            }
            done.Wait();
        }
        ThreadPool.SetMinThreads(Pool, Pool);
        using (var together = new Barrier(Pool))
        {
            // Each waits for the others, so each is on a thread of its own.
            Task.WaitAll([.. Enumerable.Range(0, Pool).Select(_ => Task.Run(() =>
            {
                together.SignalAndWait();
                Ask("pool");
                together.SignalAndWait();
            }))]);
        }
        return said.ToDictionary(each => each.Key, each => each.Value.Order().ToList());

        void Ask(string place)
        {
            foreach (var (name, draw) in Sources.All)
                said.GetOrAdd($"{name}, {place}", _ => []).Add(draw());
        }
    }

    private static BlockingCollection<Action> Start(int _)
    {
        var queue = new BlockingCollection<Action>();
        new Thread(() =>
        {
            foreach (var work in queue.GetConsumingEnumerable())
                work();
        }) { IsBackground = true }.Start();
        return queue;
    }
}
