"""The clone test's judgement: what several clones of several cold starts answered, compared.

The part that runs machines makes `ColdStart`s; `compare` says what in them was cloned, and `findings` puts it into
the words of a report. Nothing here runs anything.
"""

from .compare import CloneFinding, Comparison, Verdict, compare
from .observation import Answer, ColdStart, Global, Observation, Observed, Tap
from .rules import RULES, findings

__all__ = [
    "RULES",
    "Answer",
    "CloneFinding",
    "ColdStart",
    "Comparison",
    "Global",
    "Observation",
    "Observed",
    "Tap",
    "Verdict",
    "compare",
    "findings",
]
