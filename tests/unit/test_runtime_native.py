"""Reading native state: mappings, exported functions, OpenSSL's generators by structure, a Mersenne Twister's seed."""

from __future__ import annotations

import mmap
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_runtime import drbg, mt19937, native
from thaw_runtime.draw import Draw
from thaw_runtime.fixers import _wipe_on_fork
from thaw_runtime.registry import Context

WIPE_ON_FORK = 18
"""MADV_WIPEONFORK, which the mmap module has no name for."""


@pytest.mark.parametrize(
    ("line", "anonymous", "path"),
    [
        ("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 ", True, ""),
        (
            "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]",
            True,
            "[heap]",
        ),
        (
            "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]",
            False,
            "[stack]",
        ),
        ("7f00-7f10 rw-p 00000000 00:00 0    [anon: libc_malloc]", True, "[anon: libc_malloc]"),
        (
            "7f00-7f10 r-xp 00021000 fe:01 131  /opt/a b/lib.so (deleted)",
            False,
            "/opt/a b/lib.so (deleted)",
        ),
    ],
)
def test_mappings_are_read_as_the_kernel_writes_them(line, anonymous, path):
    """proc_pid_maps(5), with names that hold spaces and without any."""
    mapping = native.parse_mapping(line + "\n")

    assert (anonymous, path) == (mapping.anonymous, mapping.path)


def test_own_mappings_hold_the_interpreter():
    """The real file parses, and says where code is."""
    assert any(
        path.endswith(("python3", "python3.11")) or "libpython" in path or "libc" in path
        for path in native.libraries()
    )


def test_an_exported_function_is_found_once():
    """Many libraries see libc's symbols; each address counts once."""
    assert len(native.functions("getpid", native.libraries())) == 1
    assert native.functions("no_such_function_anywhere", native.libraries()) == {}


SMAPS = """\
7f15b95ff000-7f15b9600000 rw-p 00000000 00:00 0
Size:                  4 kB
VmFlags: rd wr mr mw me ac wf
7f15b99fb000-7f15b99fc000 r--p 00000000 00:00 0
VmFlags: rd mr mw me ac wf
7f15ba0d2000-7f15ba0d3000 rw-p 00000000 00:00 0
VmFlags: rd wr mr mw me nr wf dd dp
7f15bb000000-7f15bb001000 rw-p 00000000 fe:01 131  /opt/VmFlags: wf.so
VmFlags: rd wr mr mw me ac
"""


def test_pages_that_fork_wipes_are_told_from_all_others():
    """Not one that is read only, not getrandom()'s droppable state, not a file whose name looks like a flag."""
    found = native.parse_wiped_on_fork(SMAPS.splitlines(keepends=True))

    assert [page.start for page in found] == [0x7F15B95FF000]


def test_pages_that_a_library_asked_fork_to_wipe_are_empty_in_a_clone():
    """BoringSSL, AWS-LC and s2n reseed when they find theirs empty; a restore empties nothing by itself."""
    waiting, other = (
        mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2)
    )
    waiting.madvise(WIPE_ON_FORK)
    waiting[0] = other[0] = 1
    fixer = _wipe_on_fork.WipeOnForkFixer()

    fixer.freeze(Context({}))
    assert waiting[0] == 1
    fixer.thaw(Draw(b"host" * 16))

    assert (waiting[0], other[0]) == (0, 1)


NOW = 1_795_000_000
CODE = 0x7F00_0000_0000


def prov_drbg(*, reseed_interval=65536, reseed_time=NOW - 5, interval_s=420, pointers=8) -> bytes:
    """The part of OpenSSL's struct prov_drbg_st that the scan looks at."""
    code = b"".join(struct.pack("<Q", CODE + 64 * i) for i in range(pointers))
    return code.rjust(0x100, b"\0") + struct.pack(
        "<IIqq", 3, reseed_interval, reseed_time, interval_s
    )


def owner(address: int) -> str | None:
    return "/lib.so" if CODE <= address < CODE + 0x1000 else None


@given(before=st.integers(0, 64), after=st.binary(max_size=200))
def test_a_generator_is_found_wherever_it_lies(before, after):
    """At any eight-byte offset, among any other bytes."""
    data = bytes(before * 8) + prov_drbg() + after

    found = drbg._scan(data, owner, now_s=NOW)

    assert (before * 8 + 0x100 + 8, "/lib.so") in found


@pytest.mark.parametrize(
    "changed",
    [
        {"reseed_interval": 1000},
        {"reseed_time": NOW + 200_000},
        {"reseed_time": 12345},
        {"interval_s": 421},
        {"pointers": 2},
    ],
)
def test_what_differs_in_one_field_is_no_generator(changed):
    """Nothing is written to memory that is not all of the structure."""
    assert drbg._scan(prov_drbg(**changed), owner, now_s=NOW) == []


@given(st.binary(max_size=4000))
def test_other_memory_is_no_generator(data):
    """Arbitrary bytes neither match nor break the scan."""
    assert drbg._scan(data, lambda _address: None, now_s=NOW) == []


def test_a_generator_that_has_never_reseeded_counts():
    """reseed_time 0: instantiated, not used."""
    assert len(drbg._scan(prov_drbg(reseed_time=0), owner, now_s=NOW)) == 1


def legacy_key(seed: int) -> list[int]:
    """init_genrand of Matsumoto and Nishimura, which numpy's RandomState(int) uses."""
    key = [seed]
    for i in range(1, 624):
        key.append((1812433253 * (key[-1] ^ key[-1] >> 30) + i) & 0xFFFFFFFF)
    return key


def twisted(key: list[int], times: int) -> list[int]:
    """The state after `times` blocks of 624 outputs, by Python's own generator."""
    generator = random.Random()
    generator.setstate((3, (*key, 624), None))
    for _ in range(times):
        for _ in range(624):
            generator.getrandbits(32)
    return list(generator.getstate()[1][:624])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), times=st.integers(0, 4))
def test_a_seed_is_read_back_from_its_state(seed, times):
    """Right after seeding and after some thousand outputs."""
    assert seed == mt19937.seed_of(twisted(legacy_key(seed), times))


def test_other_states_have_no_seed():
    """Seeded with an array, used for long, or no state at all."""
    assert mt19937.seed_of(random.Random(42).getstate()[1][:624]) is None
    assert mt19937.seed_of(twisted(legacy_key(7), 6)) is None
    assert mt19937.seed_of([1, 2, 3]) is None
