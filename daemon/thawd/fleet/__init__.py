"""Machines in service: one pool a version, and the fleet over all pools."""
