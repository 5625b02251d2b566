"""numpy: what draws from an unseeded generator, before and after spawning, and what is kept."""

import copy
import pickle
import time

import numpy as np

generator = np.random.default_rng()
children = np.random.default_rng().spawn(2)
philox = np.random.Generator(np.random.Philox())
sfc = np.random.Generator(np.random.SFC64())
state = np.random.RandomState()
state_over_pcg = np.random.RandomState(np.random.PCG64())
sequence = np.random.SeedSequence()
timed = np.random.Generator(np.random.PCG64(int(time.time())))
legacy_timed = np.random.RandomState(int(time.time()))
saved = np.random.get_state()
np.random.seed(1)
np.random.set_state(saved)  # borrowed and given back

seeded = np.random.default_rng(42)
seeded_state = np.random.RandomState(42)
seeded_child = np.random.SeedSequence(42).spawn(1)[0]
seeded_spawned = np.random.default_rng(seeded_child)
checkpoint = np.random.default_rng()
checkpoint.bit_generator.state = np.random.PCG64(5).state
unpickled = pickle.loads(pickle.dumps(np.random.default_rng(9)))


def sources():
    return {
        "numpy.random": lambda: np.random.bytes(16).hex(),
        "numpy.random.randn": lambda: float(np.random.randn()),
        "default_rng": lambda: generator.bytes(16).hex(),
        "spawned before": lambda: children[1].bytes(16).hex(),
        "spawned after": lambda: generator.spawn(1)[0].bytes(16).hex(),
        "copied": lambda: copy.deepcopy(generator).bytes(16).hex(),
        "Philox": lambda: philox.bytes(16).hex(),
        "SFC64": lambda: sfc.bytes(16).hex(),
        "RandomState": lambda: state.bytes(16).hex(),
        "RandomState gauss": lambda: float(state.randn()),
        "RandomState over PCG64": lambda: state_over_pcg.bytes(16).hex(),
        "SeedSequence": lambda: int(np.random.PCG64(sequence.spawn(1)[0]).random_raw()),
        "PCG64(time)": lambda: timed.bytes(16).hex(),
        "RandomState(time)": lambda: legacy_timed.bytes(16).hex(),
        "kept: default_rng(42)": lambda: seeded.bytes(16).hex(),
        "kept: RandomState(42)": lambda: seeded_state.bytes(16).hex(),
        "kept: spawned of 42": lambda: seeded_spawned.bytes(16).hex(),
        "kept: a loaded state": lambda: checkpoint.bytes(16).hex(),
        "kept: unpickled": lambda: unpickled.bytes(16).hex(),
    }
