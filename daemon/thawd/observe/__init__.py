"""What the daemon tells the outside: log lines, metrics, lifecycle events, and systemd."""
