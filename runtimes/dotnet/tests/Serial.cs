using Xunit;

// Hooks, loggers and environment variables are the process's. And handlers are waited for by blocking, which the threads of
// parallel tests have no room for.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
