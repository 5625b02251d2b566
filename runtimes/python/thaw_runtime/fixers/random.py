"""random: the global generator and every `Random` that was seeded by nobody, or by something unique.

Everything that draws from it is renewed with it: email.utils.make_msgid and MIME boundaries, imaplib's tags, faker,
OpenTelemetry's RandomIdGenerator, aiohttp's web socket masks, botocore's retry jitter.
"""

from __future__ import annotations

import random
import weakref
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import callsite, plain, provenance
from thaw_runtime.registry import Context, Fixer

if TYPE_CHECKING:
    from types import ModuleType

    from thaw_runtime.draw import Draw

_STATES: Final = 256
_NAMED: Final = 8
"""Generators with an explicit seed that the report names before it only counts."""


class RandomFixer(Fixer):
    """Wraps `Random.seed`, `setstate` and `getstate` during init to learn who seeded what."""

    essential = True

    def __init__(self) -> None:
        self._unique: dict[int, weakref.ref[random.Random]] = {}
        self._explicit: dict[int, tuple[weakref.ref[random.Random], str]] = {}
        self._unique_states: dict[int, None] = {}
        self._originals: dict[str, Any] = {}
        self._found: list[random.Random] = []
        self._places: list[str] = []

    def tap(self, module: ModuleType) -> None:
        """Right after `import random`: its global generator has just seeded itself from the kernel."""
        seed, setstate, getstate = (
            random.Random.seed,
            random.Random.setstate,
            random.Random.getstate,
        )
        self._originals = {"seed": seed, "setstate": setstate, "getstate": getstate}
        unique_states = self._unique_states

        def tapped_seed(self_: random.Random, a: Any = None, version: int = 2) -> None:
            if provenance.recording():
                caller = provenance.caller_outside("random")
                self._saw(self_, unique=provenance.seed_is_unique(a, caller), caller=caller)
            seed(self_, a, version)

        def tapped_setstate(self_: random.Random, state: Any) -> None:
            # random.seed(42) between getstate() and setstate() is how test helpers and samplers borrow the global
            # generator; what they put back is as unique as it was.
            setstate(self_, state)
            if provenance.recording():
                unique = _fingerprint(self_) in unique_states
                self._saw(self_, unique=unique, caller=provenance.caller_outside("random"))

        def tapped_getstate(self_: random.Random) -> tuple[Any, ...]:
            state = getstate(self_)
            if provenance.recording() and id(self_) in self._unique:
                if len(unique_states) >= _STATES:
                    del unique_states[next(iter(unique_states))]
                unique_states[_fingerprint(self_)] = None
            return state

        for name, wrapper in (
            ("seed", tapped_seed),
            ("setstate", tapped_setstate),
            ("getstate", tapped_getstate),
        ):
            original = self._originals[name]
            wrapper.__doc__, wrapper.__name__ = original.__doc__, name
            wrapper.__qualname__, wrapper.__module__ = original.__qualname__, original.__module__
            setattr(random.Random, name, wrapper)
        self._bind_module_functions()
        self._saw(random._inst, unique=True, caller=None)

    def untap(self) -> None:
        """The class as it was. Who took a wrapper by name keeps one that adds nothing."""
        for name, original in self._originals.items():
            setattr(random.Random, name, original)
        self._bind_module_functions()

    def freeze(self, context: Context) -> None:
        """Settle which objects will be renewed, and report the others."""
        unique = [reference() for reference in list(self._unique.values())]
        for generator in unique:
            if generator is None:
                continue
            if provenance.overridden(generator, *_aliases(generator)) is False:
                context.note("random: a generator is left as it is (thaw_runtime.keep)")
            else:
                self._found.append(generator)
        self._places = []
        for reference, where in list(self._explicit.values()):
            generator = reference()
            if generator is None:
                continue
            if provenance.overridden(generator, *_aliases(generator)):
                self._found.append(generator)
            else:
                self._places.append(where)

    def remark(self, context: Context) -> None:
        """Name the lines of the seeds that are kept."""
        if self._places:
            more = f" and {len(self._places) - _NAMED} more" if len(self._places) > _NAMED else ""
            context.note(
                "random: explicit seeds are kept, so clones share these streams: "
                + ", ".join(self._places[:_NAMED])
                + more
            )

    def thaw(self, draw: Draw) -> str | None:
        """Seed each anew in the C base class, past any subclass's own idea of a seed."""
        seed = random.Random.__mro__[1].seed  # type: ignore[attr-defined] # _random.Random
        for generator in self._found:
            seed(generator, draw.integer(32))
            object.__setattr__(generator, "gauss_next", None)  # past a subclass's __setattr__
        return f"{len(self._found)} generators"

    def _saw(self, generator: random.Random, *, unique: bool, caller: Any) -> None:
        if plain.is_a(generator, random.SystemRandom):
            return
        key = id(generator)
        self._unique.pop(key, None)
        self._explicit.pop(key, None)
        if unique:
            self._unique[key] = weakref.ref(generator)
        else:
            where = callsite.location(caller) if caller is not None else "?"
            self._explicit[key] = (weakref.ref(generator), where)

    def _bind_module_functions(self) -> None:
        # `random.seed` and the like were bound to the class's functions of the time of the import.
        instance = random._inst
        for name in ("seed", "setstate", "getstate"):
            setattr(random, name, getattr(instance, name))


def _fingerprint(generator: random.Random) -> int:
    """Of the C base class's own state: what a caller passes, or a subclass returns, may hold objects with a `__hash__`."""
    core: Any = random.Random.__mro__[1]
    return hash(core.getstate(generator))


def _aliases(generator: random.Random) -> tuple[ModuleType, ...]:
    return (random,) if generator is random._inst else ()


fixer = RandomFixer()
