"""Settings: defaults that need no file, a TOML file, and nothing else."""
