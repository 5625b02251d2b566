"""One invocation: dispatch, outcome, log lines; and starts on trial."""
