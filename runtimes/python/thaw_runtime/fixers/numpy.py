"""numpy.random: the global RandomState and every generator that nobody gave a reproducible seed.

Objects keep their identity: a Generator that the function holds, and the ones that were spawned from it, go on
with a new state. The seed sequence is renewed too, so that what is spawned after the restore differs as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import mt19937, plain, provenance
from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from types import ModuleType

    from thaw_runtime.draw import Draw

_LONGEST_SEED: Final = 1024
"""Bytes; numpy itself draws 16."""


class NumpyFixer(Fixer):
    """Seed sequences tell who seeded a generator; a legacy seed is read back from the state."""

    essential = True
    versions = ("1.25", "2.5")
    after = "numpy.random"

    def __init__(self) -> None:
        self._automatic: set[int] = set()
        self._global_seed_is_unique: bool | None = None
        self._global_states: set[bytes] = set()
        self._originals: list[tuple[Any, str, Any]] = []
        self._generators: list[tuple[Any, type]] = []
        self._legacy: list[Any] = []
        self._sequences: list[Any] = []
        self._sequence: Any = None
        self._frombuffer: Any = None

    def tap(self, module: ModuleType) -> None:
        """Learn the entropy that numpy draws by itself, and what is done to the global generator."""
        drawn = sys.modules["numpy.random.bit_generator"]
        randbits, seed = drawn.randbits, module.seed
        get_state, set_state = module.get_state, module.set_state

        def tapped_randbits(k: int) -> int:
            value: int = randbits(k)
            self._automatic.add(value)
            return value

        def tapped_seed(seed_: Any = None) -> None:
            seed(seed_)
            self._global_seed_is_unique = provenance.seed_is_unique(seed_, sys._getframe(1))

        def tapped_get_state(legacy: bool = True) -> Any:  # noqa: FBT001, FBT002 - numpy's signature
            if self._global_seed_is_unique is not False:
                self._global_states.add(_state_bytes(get_state(legacy=False)))
            return get_state(legacy=legacy)

        def tapped_set_state(state: Any) -> None:
            # Borrowing the global generator and giving it back leaves it as unique as it was.
            set_state(state)
            self._global_seed_is_unique = (
                _state_bytes(get_state(legacy=False)) in self._global_states
            )

        # The global generator drew its own during the import that has just ended.
        sequence = module.random_sample.__self__._bit_generator.seed_seq
        self._automatic.add(getattr(sequence, "entropy", 0))
        self._replace(drawn, "randbits", tapped_randbits)
        self._replace(module, "seed", tapped_seed)
        self._replace(module, "get_state", tapped_get_state)
        self._replace(module, "set_state", tapped_set_state)

    def untap(self) -> None:
        """Numpy's own functions again."""
        for owner, name, original in self._originals:
            setattr(owner, name, original)

    def collects(self) -> tuple[type, ...]:
        """All kinds of generator."""
        module: Any = sys.modules.get("numpy.random")
        if module is None:
            return ()
        return (module.BitGenerator, module.Generator, module.RandomState, module.SeedSequence)

    def freeze(self, context: Context) -> None:
        """Sort every generator of the process into renewed and kept."""
        module: Any = sys.modules.get("numpy.random")
        if module is None:
            raise Absent
        numpy: Any = sys.modules["numpy"]
        self._sequence, self._frombuffer = module.SeedSequence, numpy.frombuffer
        if not hasattr(module.BitGenerator, "__setstate__"):
            raise Unsupported(
                "numpy's BitGenerator cannot take a seed sequence (numpy before 1.25)"
            )
        global_state = module.random_sample.__self__
        states = {id(s._bit_generator): s for s in context.instances(module.RandomState)}
        states[id(global_state._bit_generator)] = global_state
        owners = {id(g.bit_generator): g for g in context.instances(module.Generator)}
        bits = {id(b): b for b in context.instances(module.BitGenerator)}
        bits.update((id(s._bit_generator), s._bit_generator) for s in states.values())
        bits.update((id(g.bit_generator), g.bit_generator) for g in owners.values())
        kept = 0
        for key, bit_generator in bits.items():
            owner = owners.get(key) or states.get(key)
            aliases = (module,) if owner is global_state else ()
            unique = provenance.overridden(bit_generator, owner, *aliases)
            if unique is None:
                unique = self._is_unique(bit_generator, is_global=owner is global_state)
            if not unique:
                kept += 1
            elif key in states and hasattr(bit_generator, "_legacy_seeding"):
                self._legacy.append(states[key])
            else:
                self._generators.append((bit_generator, type(bit_generator)))
        self._sequences = [
            s
            for s in context.instances(module.SeedSequence)
            if type(s) is module.SeedSequence and self._is_unique_sequence(s)
        ]
        if kept:
            context.note(
                f"numpy: {kept} generators with an explicit seed are kept: clones share their streams"
            )

    def thaw(self, draw: Draw) -> str | None:
        """Renew in place."""
        sequence = self._sequence
        for bit_generator, kind in self._generators:
            fresh = sequence(draw.integer(32))
            bit_generator.__setstate__((kind(fresh).state, fresh))
        for state in self._legacy:
            # The method, since it also forgets the second value of the last pair of Gaussian numbers.
            state.seed(self._frombuffer(draw(64), dtype="<u4"))
        for old in self._sequences:
            old.__setstate__(sequence(draw.integer(32)).__reduce__()[2])
        return (
            f"{len(self._generators)} generators, {len(self._legacy)} RandomStates, "
            f"{len(self._sequences)} seed sequences"
        )

    def _replace(self, owner: Any, name: str, wrapper: Any) -> None:
        original = getattr(owner, name)
        wrapper.__doc__, wrapper.__name__ = original.__doc__, name
        self._originals.append((owner, name, original))
        setattr(owner, name, wrapper)

    def _is_unique(self, bit_generator: Any, *, is_global: bool) -> bool:
        sequence = bit_generator.seed_seq
        if sequence is not None and not (is_global and self._global_seed_is_unique is False):
            return self._is_unique_sequence(sequence) and not _was_set(bit_generator, sequence)
        if is_global and self._global_seed_is_unique is not None:
            return self._global_seed_is_unique
        state = bit_generator.state.get("state", {})
        seed = mt19937.seed_of(state["key"]) if "key" in state and "pos" in state else None
        return seed is not None and provenance.value_is_unique(seed)

    def _is_unique_sequence(self, sequence: Any) -> bool:
        entropy = getattr(sequence, "entropy", 0)
        number = plain.scalar(entropy, _LONGEST_SEED)
        if type(number) is int and number in self._automatic:
            return True
        return entropy is None or provenance.value_is_unique(entropy)


def _was_set(bit_generator: Any, sequence: Any) -> bool:
    """Did the user load a state into a generator that had seeded itself? Its fixed part would not be the seed's."""
    try:
        state, seeded = bit_generator.state["state"], type(bit_generator)(sequence).state["state"]
    except (KeyError, TypeError):
        return False
    fixed = [name for name in ("inc", "key") if name in state and "pos" not in state]
    return any(
        bytes(str(state[name]), "ascii") != bytes(str(seeded[name]), "ascii") for name in fixed
    )


def _state_bytes(state: Any) -> bytes:
    inner = state["state"]
    return (
        bytes(inner["key"].tobytes()) + str(inner["pos"]).encode()
        if "key" in inner
        else repr(inner).encode()
    )


fixer = NumpyFixer()
