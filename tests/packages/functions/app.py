"""All of a bundle's `use_*` modules as one function, for machines.

The handler says for each what its handler gives and what its `unique` gives: in the runtime's thread and in one that
lived when the snapshot was taken.
"""

import importlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

USED = {
    path.stem: importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("use_*.py"))
}
other = ThreadPoolExecutor(1)


def unique(module):
    return getattr(module, "unique", dict)()


for module in USED.values():
    # State that the first use makes is in the snapshot, each thread's own as well.
    unique(module)
    if not getattr(module, "ONE_THREAD", False):
        other.submit(unique, module).result()


def handler(event, context):
    said = {}
    for name, module in USED.items():
        threads = (
            {} if getattr(module, "ONE_THREAD", False) else other.submit(unique, module).result()
        )
        said[name] = {
            "answer": module.handler(event, context),
            "unique": {
                **unique(module),
                **{f"{key}, other thread": v for key, v in threads.items()},
            },
        }
    return json.loads(json.dumps(said, default=str))
