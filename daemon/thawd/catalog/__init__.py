"""Functions and their versions: models, state machine, and the store on disk."""
