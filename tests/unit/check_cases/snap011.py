# case: bad: a directory
import tempfile

WORK = tempfile.mkdtemp()  # expect: SNAP011
# case: bad: a path made of one, and an object
import tempfile
from pathlib import Path

CACHE = Path(tempfile.mkdtemp(prefix="cache")) / "models"  # expect: SNAP011
scratch = tempfile.TemporaryDirectory()  # expect: SNAP011
# case: bad: both parts of mkstemp
import tempfile

fd, NAME = tempfile.mkstemp()  # expect: SNAP011
# case: good: gone before init ends
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as work:
    SIZE = len(list(Path(work).iterdir()))
# case: good: made in the handler
import tempfile


def handler(event, context):
    return tempfile.mkdtemp()


# case: good: only the folder for temporary files, and a fixed name
import os
import tempfile

BASE = tempfile.gettempdir()
CACHE = os.path.join(BASE, "cache")
# case: good: made again after restore
import tempfile
from snapshot_restore_py import register_after_restore

WORK = tempfile.mkdtemp()


@register_after_restore
def renew():
    global WORK
    WORK = tempfile.mkdtemp()
