"""docs/lint.md says of every rule what the linter says. Run this file to write its second half anew."""

from __future__ import annotations

from pathlib import Path

from thaw_check.lint import RULES

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"
MARK = "<!-- rules: written by `python tests/unit/test_check_page.py` from daemon/thaw_check/lint/rules.py -->\n"


def rules_as_markdown():
    lines = []
    for rule in RULES.values():
        lines += ["", f"### {rule.id} {rule.name} ({rule.level})", "", f"{rule.summary}.", ""]
        lines += [f"*Why:* {rule.why}", "", f"*Fix:* {rule.fix}"]
        for title, example in (("Bad", rule.bad), ("Good", rule.good)):
            if example:
                lines += ["", f"{title}:", "", "```python", example, "```"]
    return "\n".join(lines) + "\n"


def test_the_page_is_what_the_rules_say():
    _, mark, rest = PAGE.read_text().partition(MARK)

    assert mark
    assert rules_as_markdown() == rest


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + rules_as_markdown())
