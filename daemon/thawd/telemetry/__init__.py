"""What the daemon tells of itself: its log, and systemd."""
