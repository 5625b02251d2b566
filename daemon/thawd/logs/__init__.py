"""Functions' logs."""
