"""The guest's Python on the host: its root file system, in namespaces of its own, without a machine.

The root is the image's, so interpreter and libraries are those that a published function meets; thaw_runtime is this
tree's. There is no network but a loopback interface. Needs root, or user namespaces.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from thawd.images.store import Image

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtimes" / "python" / "thaw_runtime"
ENTER = """
set -e
root=$1 bundle=$2 tests=$3 runtime=$4 compiled=$5
shift 5
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$runtime" "$root/var/runtime/thaw_runtime"
mkdir "$root/tmp/bed" "$root/tmp/compiled"
mount --bind "$tests" "$root/tmp/bed"
mount --bind "$compiled" "$root/tmp/compiled"
mount --bind "$bundle" "$root/var/task"
cd "$root/var/task"
exec chroot "$root" /usr/bin/python3 "$@"
"""


@frozen
class GuestPython:
    """The interpreter in an unpacked image."""

    root: Path
    compiled: Path
    """What it has compiled: once for all bundles, since each is at the same path and of the same files."""

    def run(
        self, bundle: Path, *arguments: str, timeout_s: float = 240, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it with a bundle at /var/task and tests/ at /tmp/bed."""
        command = [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--net",
            *([] if os.geteuid() == 0 else ["--map-root-user"]),
            "sh", "-c", ENTER, "enter", str(self.root), str(bundle), str(ROOT / "tests"), str(RUNTIME),
            str(self.compiled), *arguments,
        ]  # fmt: skip
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": "/var/task:/tmp/bed:/var/runtime",
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_LAMBDA_FUNCTION_NAME": "packages",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "of-tests",
            "AWS_SECRET_ACCESS_KEY": "of-tests",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": "/tmp",
            "PYTHONPYCACHEPREFIX": "/tmp/compiled",
            # What clones of a process cannot have: worker threads.
            "POLARS_MAX_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **variables,
        }
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
        )


def unpacked(image: Image, cache: Path) -> GuestPython:
    """The image's root, unpacked once; other processes wait meanwhile."""
    folder = cache / f"guest-{image.digest[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "guest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for old in cache.glob("guest-*"):
                shutil.rmtree(old)
            fresh = cache / "guest-new"
            (fresh / "compiled").mkdir(parents=True)
            subprocess.run(
                ["fsck.erofs", f"--extract={fresh / 'root'}", image.root],
                check=True,
                capture_output=True,
            )
            fresh.rename(folder)
    return GuestPython(folder / "root", folder / "compiled")
