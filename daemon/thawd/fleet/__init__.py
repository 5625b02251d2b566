"""Machines in service: how an execution environment starts, one pool a version, the fleet over all pools."""
