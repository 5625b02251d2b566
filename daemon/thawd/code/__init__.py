"""Functions' code: a zip comes in, is checked, and becomes a read-only disk."""
