"""systemd/README.md as a program: the commands that stand under its headings."""

from __future__ import annotations

import re
from typing import Final

from installing import ROOT

PAGE: Final = (ROOT / "systemd" / "README.md").read_text()


def blocks(heading: str, language: str = "sh") -> list[str]:
    """The code blocks below a heading, in their order. Raises `KeyError` where there is no such heading."""
    sections = re.split(r"^## (.*)$", PAGE, flags=re.MULTILINE)[1:]
    text = dict(zip(sections[::2], sections[1::2], strict=True))[heading]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def packages() -> set[str]:
    """What the page has apt install."""
    joined = "\n".join(blocks("Install")).replace("\\\n", " ")
    (line,) = re.findall(r"^sudo apt install (.*)$", joined, re.MULTILINE)
    return {word for word in line.split() if not word.startswith("-")}
