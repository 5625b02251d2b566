"""The `thaw` command: one module a command, `main` finds and runs it."""
