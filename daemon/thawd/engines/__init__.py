"""Engines run machines. `machine.py` is the interface; each engine has a folder; `select.py` probes and chooses."""
