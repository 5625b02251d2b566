"""Starts AWS's runtime interface client for the handler in `_HANDLER`.

A script without arguments, as on Lambda: wrapper scripts (AWS_LAMBDA_EXEC_WRAPPER) put options for the interpreter before
the last argument of the command that they are given, and that is this file.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve until the process ends."""
    root = os.environ["LAMBDA_TASK_ROOT"]
    if sys.flags.safe_path:
        sys.path.insert(0, root)
    else:
        sys.path[0] = root  # instead of this script's own directory
    from awslambdaric.__main__ import main as serve

    serve([sys.argv[0], os.environ["_HANDLER"]])


# Not in a process that multiprocessing has spawned, which imports this file again.
if __name__ == "__main__":
    main()
