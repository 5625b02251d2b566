"""From a zip to a version that can be restored: bundle, init, hooks, snapshot."""
