"""Lambda's REST API, one module a resource, and the daemon's own: health and statistics."""
