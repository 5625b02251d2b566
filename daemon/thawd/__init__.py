"""thawd: AWS Lambda SnapStart for your own Linux machine."""

__version__ = "0.1.0"
