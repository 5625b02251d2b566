"""The page about one snapshot: hooks, steps and fixers with their times, stale things, and failures."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Final

from thaw_check.findings import Finding, Level, Rule, Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .compare import Comparison
    from .observation import Freeze, Hook, Observed, Wake

_START_FAILED: Final = Rule(
    "HOOK001",
    "start-failed",
    Level.ERROR,
    "Init or a before-snapshot hook fails",
    "The version cannot be published: Lambda answers with its state Failed.",
    "Read the error; the function's log has the rest.",
)
_RESTORE_FAILED: Final = Rule(
    "HOOK002",
    "restore-failed",
    Level.ERROR,
    "An after-restore hook fails or takes too long",
    "No clone serves an invocation: Lambda answers each with SnapStartException or SnapStartTimeoutException.",
    "Catch in the hook what may fail, and keep it short: Lambda allows 10 s.",
)
_HANDLER_FAILED: Final = Rule(
    "HOOK003",
    "handler-failed",
    Level.WARNING,
    "The handler raised",
    "What it would have answered is not compared: clones may share more than was found.",
    "Give events that it accepts: --event JSON, or --event @FILE.",
)
_INVOCATION_ENDED: Final = Rule(
    "HOOK005",
    "invocation-ended",
    Level.ERROR,
    "An invocation takes too long, or ends the process",
    "Lambda answers it with Sandbox.Timedout or Runtime.ExitError, and nothing was compared.",
    "Give events that it can answer (--event), or more time (--timeout).",
)
_STALE: Final = Rule(
    "HOOK004",
    "stale-connection",
    Level.INFO,
    "A connection opened before the snapshot is dead in every clone",
    "Only one machine can go on with a connection; thawd shuts it, so that clones notice at once. On AWS the first use "
    "of it fails or waits.",
    "Open it on first use, or again in a function under @register_after_restore.",
)
_CACHED: Final = " was made unique at init"
"""How thaw_runtime's notes on globals read (`leftovers.cached_values`)."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_EPHEMERAL: Final = range(32768, 61000)
"""Ports that the kernel gives to who connects (Linux, net.ipv4.ip_local_port_range)."""
_IDLE: Final = frozenset({"absent", "skipped"})
"""Results of fixers that did nothing."""
RULES: Final = {
    rule.id: rule
    for rule in (_START_FAILED, _RESTORE_FAILED, _HANDLER_FAILED, _STALE, _INVOCATION_ENDED)
}


def findings(observed: Observed) -> Iterator[Finding]:
    """Failures around the snapshot, and stale things."""
    for start in observed.starts:
        if start.freeze.failure:
            yield _finding(_START_FAILED, start.freeze.failure)
            return
        ended = next((clone.failure for clone in start.clones if clone.failure), None)
        if ended is not None:
            yield _finding(_INVOCATION_ENDED, ended)
            return
        failed = next((clone.wake for clone in start.clones if clone.wake.failure), None)
        if failed is not None:
            broken = next((hook.name for hook in failed.hooks if not hook.ok), "")
            yield _finding(_RESTORE_FAILED, failed.failure, what=broken)
            return
    raised: dict[str, None] = {}
    for start in observed.starts:
        for clone in start.clones:
            for answer in clone.answers:
                if answer.error_type is not None:
                    raised[_raised(answer.response, answer.error_type)] = None
    for text in raised:
        yield _finding(_HANDLER_FAILED, text, what=text.partition(":")[0])
    for far in _far_ends([start.freeze for start in observed.starts]):
        yield _finding(_STALE, far, what=far)


def sections(observed: Observed, comparison: Comparison | None) -> Iterator[Section]:
    """The page below the findings."""
    yield _clones(observed, comparison)
    wakes = [clone.wake for start in observed.starts for clone in start.clones]
    freezes = [start.freeze for start in observed.starts]
    if any(freeze.hooks for freeze in freezes) or any(wake.hooks for wake in wakes):
        yield _hooks(freezes, wakes)
    served = [wake for wake in wakes if wake.steps_us]
    if served:
        yield _restore(served)
    if any(fixer.result not in _IDLE for wake in served for fixer in wake.fixers):
        yield _fixers(served)
    stale = list(_stale(freezes, served))
    if stale:
        yield Section("Stale and left as it is", lines=tuple(stale))


def _clones(observed: Observed, comparison: Comparison | None) -> Section:
    clones = sum(len(start.clones) for start in observed.starts)
    counts = (
        _many(len(observed.starts), "cold start"),
        _many(clones, "clone"),
        _many(len(observed.events), "event"),
    )
    lines = [f"{', '.join(counts)} each, on {observed.engine}"]
    if observed.kernel_cloned:
        lines.append("worst case: the kernel's random generator was cloned too")
    if observed.fixers_off:
        lines.append("without thawd's fixers: what AWS would give")
    if comparison is not None:
        shared = len(comparison.findings)
        lines.append(
            f"{comparison.constant} places equal everywhere, {comparison.unique} different in each clone, "
            f"{shared} shared by clones of one start"
        )
    return Section("Clones", lines=tuple(lines))


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _hooks(freezes: Sequence[Freeze], wakes: Sequence[Wake]) -> Section:
    rows = [("before snapshot", *row) for row in _ran([freeze.hooks for freeze in freezes])]
    rows += [("after restore", *row) for row in _ran([wake.hooks for wake in wakes])]
    return Section("Hooks, in the order they ran", ("when", "hook", "ms", "result"), tuple(rows))


def _ran(runs: Sequence[tuple[Hook, ...]]) -> Iterator[tuple[str, str, str]]:
    longest = max(runs, key=len, default=())
    for number, hook in enumerate(longest):
        same = [run[number] for run in runs if number < len(run)]
        failed = sum(not each.ok for each in same)
        took = statistics.median(each.us for each in same) / 1e3
        yield hook.name, f"{took:.1f}", f"failed in {failed} of {len(same)}" if failed else "ok"


def _restore(wakes: Sequence[Wake]) -> Section:
    """Where a restore's time goes: medians over all clones."""
    parts: dict[tuple[str, str], list[float]] = {}
    for wake in wakes:
        for name, ms in wake.engine_ms.items():
            parts.setdefault(("machine", name.removesuffix("_ms")), []).append(ms)
        for name, us in wake.steps_us.items():
            who = {"thaw_runtime": "fixers", "hooks": "your hooks"}.get(name, "guest agent")
            parts.setdefault((who, name), []).append(us / 1e3)
    medians = {key: statistics.median(times) for key, times in parts.items()}
    rows = [(who, step, f"{ms:.1f}") for (who, step), ms in medians.items()]
    took = statistics.median(wake.took_ms for wake in wakes)
    billed = statistics.median(wake.runtime_ms for wake in wakes)
    return Section(
        "Restore",
        ("who", "step", "ms"),
        tuple(rows),
        (
            f"{took:.0f} ms in all, of which {billed:.0f} ms are the function's own (runtime, fixers, hooks): Lambda bills those",
        ),
    )


def _fixers(wakes: Sequence[Wake]) -> Section:
    rows = []
    for fixer in wakes[-1].fixers:
        if fixer.result in _IDLE:
            continue
        took = [each.us / 1e3 for wake in wakes for each in wake.fixers if each.name == fixer.name]
        name = f"{fixer.name} {fixer.version}".strip()
        rows.append((name, fixer.result, f"{statistics.median(took):.2f}", fixer.detail))
    title = "What thawd renewed in the function's process"
    return Section(title, ("fixer", "result", "ms", ""), tuple(rows))


def _stale(freezes: Sequence[Freeze], wakes: Iterable[Wake]) -> Iterator[str]:
    far = _far_ends(freezes)
    if far:
        named = (f"{end} ({count} of them)" if count > 1 else end for end, count in far.items())
        yield f"connections shut before the snapshot: {', '.join(named)}"
    behind = [wake.clock_off_ms for wake in wakes]
    if behind:
        yield f"the clock was {max(behind)} ms behind when a clone woke, and was set before any of its code ran"
    # Values that hooks renewed need no line; the others are among the findings.
    notes = dict.fromkeys(note for freeze in freezes for note in freeze.notes)
    yield from (note for note in notes if _CACHED not in note)


def _far_ends(freezes: Sequence[Freeze]) -> dict[str, int]:
    """Where the connections went that were shut, and how many of one start at most.

    A connection within the function has two ends, and the port of one is whatever the kernel had left: another in each
    start, and no name for anybody.
    """
    everywhere: set[str] = set()
    if len(freezes) > 1:
        everywhere = set.intersection(*(set(freeze.connections) for freeze in freezes))
    most: Counter[str] = Counter()
    for freeze in freezes:
        most |= Counter(
            end if end in everywhere else _without_a_chance_port(end) for end in freeze.connections
        )
    return dict(most)


def _without_a_chance_port(end: str) -> str:
    host, _, port = end.rpartition(":")
    chance = port.isdecimal() and int(port) in _EPHEMERAL and host in _LOOPBACK
    return f"{host}, within the function" if chance else end


def _raised(response: object, error_type: str) -> str:
    if isinstance(response, dict) and response.get("errorMessage"):
        return f"{response.get('errorType', error_type)}: {response['errorMessage']}"
    return error_type


def _finding(rule: Rule, detail: str, *, what: str = "") -> Finding:
    return Finding(rule.id, rule.level, f"{rule.summary}: {detail}", rule.why, rule.fix, what=what)
