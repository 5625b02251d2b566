"""One invocation: which environment it gets, what comes of it, its log lines."""
