"""mailbox, whose names hold the time: only the counter is compared."""

import mailbox
import re
import tempfile

box = mailbox.Maildir(tempfile.mkdtemp() + "/box")


def counter():
    with box._create_tmp() as file:
        return re.search(r"Q(\d+)\.", file.name)[1]


def sources():
    return {"mailbox counter": counter}
