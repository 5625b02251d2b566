"""QEMU as the engine: its command lines, its machine protocol (QMP), its process."""
