"""The daemon about itself: its log, and its messages to systemd."""
