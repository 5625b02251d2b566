"""Snapshots on disk: the store with its manifests and digests, and the base snapshots every start begins with."""
