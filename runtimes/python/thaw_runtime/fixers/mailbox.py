"""mailbox: the counter in the names of new Maildir messages (time, process id, counter and host name otherwise)."""

from __future__ import annotations

import mailbox
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class MailboxFixer(Fixer):
    """A random place to count on from."""

    def freeze(self, context: Context) -> None:
        """Check that it is still a class attribute."""
        if not isinstance(getattr(mailbox.Maildir, "_count", None), int):
            raise Unsupported("mailbox.Maildir has no _count")

    def thaw(self, draw: Draw) -> str | None:
        """Five bytes: short enough for a file name, long enough not to meet."""
        maildir: Any = mailbox.Maildir
        maildir._count = draw.integer(5)
        return None


fixer = MailboxFixer()
