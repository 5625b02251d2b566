"""The guest agent: PID 1 of a thawd microVM. Python standard library only."""

__version__ = "0.1.0"
