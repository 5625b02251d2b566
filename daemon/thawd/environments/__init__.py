"""How an execution environment comes up: boot, base snapshot, init, hooks, snapshot, restore, identity, log lines.

Top down: `start` chooses a way, `restore` and `init` are the two ways, `snapshot` is an init that ends in a snapshot,
`trial` takes one start apart. Each is a scope that owns its machine: the machine is gone when the scope ends.
"""
