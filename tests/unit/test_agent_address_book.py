"""What is found in a stopped process's memory and given fresh state, and what is left alone."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw_agent import control
from thaw_agent.memory import Mapping, Memory
from thaw_agent.restore.address_book import AddressBook, NoCanary, search

RANDOM = 0x7F3D_3703_2330
ULID = 0x7F3D_37A1_1DC8
DERIVED = 0x7F3D_3703_2578
CODE = 0x7F3D_4000_0000
BASE = 0x7F3C_0000_0000
CANARY = (
    0x0123_4567_89AB_CDEF,
    0xFEDC_BA98_7654_3210,
    0x8000_0000_0000_0001,
    0x7FFF_FFFF_0000_0001,
)
SECRET = bytes(range(64))
ENTRIES = [
    control.Entry(control.FOUR_WORDS, RANDOM, "random"),
    control.Entry(control.DERIVED, DERIVED, "random"),
    control.Entry(control.ONE_WORD, ULID, "ulid"),
    control.Entry(control.OPENSSL, 0, "openssl"),
]
BOOK = control.Book(RANDOM, struct.pack("<4Q", *CANARY), ENTRIES)


class Pretended:
    """A process's memory as chunks of words; a word of memory is 8 bytes at a multiple of 8."""

    def __init__(self, *chunks, code=True):
        self.data = {BASE + 0x100_0000 * n: bytearray(pack(one)) for n, one in enumerate(chunks)}
        self.code = code
        self.closed = False

    def mappings(self):
        found = [Mapping(CODE, CODE + 0x10_0000, "r-xp", "/usr/lib/libcrypto.so.3")]
        return found if self.code else []

    def chunks(self):
        yield from ((base, bytes(data)) for base, data in self.data.items())

    def read(self, address, size):
        for base, data in self.data.items():
            if base <= address < base + len(data):
                return bytes(data[address - base : address - base + size])
        return b""

    def write(self, address, data):
        for base, old in self.data.items():
            if base <= address and address + len(data) <= base + len(old):
                old[address - base : address - base + len(data)] = data
                return
        raise OSError("no memory there")

    def close(self):
        self.closed = True


def pack(words):
    return struct.pack(f"<{len(words)}Q", *words)


def generator(*state, table=RANDOM, header=0):
    """An object: its header, its type and its words."""
    return [header, table, *state]


def drawn(seed=0):
    rng = random.Random(seed)
    return [rng.getrandbits(48) | rng.randrange(1, 0xFFFF) << 48 | 1 for _ in range(4)]


CANARIES = generator(*CANARY)


def drbg(*, now=None, interval=256, seconds=3600, reseeded=None, pointers=10):
    """One of OpenSSL's generators: pointers to its functions, then the counters and times."""
    stamp = int(time.time() if now is None else now) - 60 if reseeded is None else reseeded
    functions = [CODE + 16 * n for n in range(pointers)]
    return [*[0] * (60 - pointers), *functions, 5 | interval << 32, stamp, seconds]


def found(*chunks, book=BOOK, **more):
    return search(book, Pretended(*chunks, **more))


def addresses(result, name="random"):
    return sorted(place.address for place in result.places if place.name == name)


def test_every_object_of_four_random_words_is_found():
    result = found([*CANARIES, *generator(*drawn(1)), 0], [0, *generator(*drawn(2))])

    assert result.canary
    assert addresses(result) == [BASE + 16, BASE + 16 + 48, BASE + 0x100_0000 + 24]
    assert not result.doubtful


@pytest.mark.parametrize(
    "words",
    [
        [0, 0, 0, 0],
        [RANDOM + 8, RANDOM + 16, 0, 1],
        [0, 0x7F3D_0000_1000, 5, 0],
        [*drawn()[:2], 0, 0x7F3D_0000_1000],
    ],
    ids=[
        "zeros",
        "a table of the runtime",
        "another object behind it",
        "a dead one half overwritten",
    ],
)
def test_what_else_holds_the_types_address_is_not(words):
    result = found([*CANARIES, *generator(*words)])

    assert len(addresses(result)) == 1
    assert not result.doubtful


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (1 << 32, drawn()),
        (0, [*drawn()[:3], 0]),
        (0, [*drawn()[:3], drawn()[3] & ~0xFFFF_FFFF]),
    ],
    ids=["locked or asked for its hash", "another's header behind three words", "an empty half"],
)
def test_what_is_in_doubt_is_counted_and_not_written(header, words):
    memory = Pretended([*CANARIES, *generator(*words, header=header)])
    before = bytes(memory.data[BASE][48:])
    book = AddressBook(BOOK, memory)
    book.find(between=lambda: None)
    (note,) = book.add_to({})["notes"]
    book.renew(SECRET)

    assert note.startswith("1 objects look like generators of random, but not surely")
    assert before == memory.data[BASE][48:]


def test_an_object_at_the_end_of_the_memory_is_found():
    assert len(addresses(found(CANARIES))) == 1


def test_an_object_that_a_collection_has_marked_is_found():
    result = found([*generator(*CANARY, table=RANDOM | 1)])

    assert result.marked
    assert result.canary


def test_a_process_in_the_middle_of_a_collection_is_let_go_and_looked_at_again():
    memory = Pretended(generator(*CANARY, table=RANDOM | 1))
    book = AddressBook(BOOK, memory)
    pauses = []

    def collect():
        pauses.append(1)
        if len(pauses) == 3:
            memory.data[BASE][8:16] = pack([RANDOM])

    book.find(between=collect)

    assert len(pauses) == 3


def test_one_that_collects_all_the_time_is_renewed_all_the_same():
    memory = Pretended(generator(*CANARY, table=RANDOM | 1))
    book = AddressBook(BOOK, memory)
    book.find(between=lambda: None)
    book.renew(SECRET)

    assert pack(CANARY) != memory.data[BASE][16:]


@pytest.mark.parametrize(
    "memory",
    [[0] * 8, generator(*drawn())],
    ids=["nothing", "another generator than the one that was named"],
)
def test_without_the_canary_there_is_no_snapshot(memory):
    book = AddressBook(BOOK, Pretended(memory))

    with pytest.raises(NoCanary, match="THAW_SKIP_FIXERS=random,ulid,openssl"):
        book.find(between=lambda: None)


def test_the_canary_is_looked_for_where_its_own_fixer_is_left_out():
    book = control.Book(RANDOM, BOOK.canary, [ENTRIES[2]])
    result = found([*CANARIES, *generator(*drawn())], book=book)

    assert result.canary
    assert not result.places
    assert not found([0] * 8, book=book).canary


def test_a_book_without_types_needs_no_canary():
    book = control.Book(0, bytes(32), [ENTRIES[3]])

    assert len(addresses(found(drbg(), book=book), "openssl")) == 1


def test_a_generator_of_one_word_is_found_with_nothing_behind_it():
    xorshift = generator(drawn()[0], table=ULID)
    result = found([*CANARIES, *xorshift, 5 << 32, 0x7F3D_0000_2000])
    followed = found([*CANARIES, *xorshift, 0x7F3D_0000_2000])

    assert [place.size for place in result.places if place.name == "ulid"] == [8]
    assert not addresses(followed, "ulid")


def test_the_state_of_a_derived_class_is_counted_by_its_owner():
    state = BASE + 8 * 7
    owner = BASE + 8 * 12
    memory = [*CANARIES, 0, DERIVED, owner, 7, 0, 0, 0x7F3D_3703_9999 & ~7, state]
    false = [*CANARIES, 0, DERIVED, 0, 0, 0, 0]

    assert found(memory).derived == 1
    assert found(false).derived == 0


@pytest.mark.parametrize(
    ("members", "count"),
    [
        ({}, 1),
        ({"seconds": 420, "interval": 65536}, 1),
        ({"reseeded": 0}, 1),
        ({"reseeded": 1}, 1),
        ({"seconds": 421}, 0),
        ({"interval": 1000}, 0),
        ({"reseeded": 12345}, 0),
        ({"pointers": 2}, 0),
    ],
)
def test_openssls_generators_are_known_by_their_structure(members, count):
    assert len(addresses(found([*CANARIES, *drbg(**members)]), "openssl")) == count


def test_without_a_libcrypto_nothing_is_taken_for_one_of_its_generators():
    assert not addresses(found([*CANARIES, *drbg()], code=False), "openssl")


def test_each_clone_gets_state_of_its_own_and_nothing_else_is_touched():
    words = [*generator(*CANARY), 7, *generator(*drawn()), *drbg(reseeded=12 + int(time.time()))]
    renewed = []
    for secret in (SECRET, SECRET, bytes(64)):
        memory = Pretended(words)
        book = AddressBook(BOOK, memory)
        book.find(between=lambda: None)
        book.renew(secret)
        renewed.append(struct.unpack(f"<{len(words)}Q", memory.data[BASE]))

    changed = {at for one in renewed for at in range(len(words)) if one[at] != words[at]}
    assert changed == {2, 3, 4, 5, 9, 10, 11, 12, len(words) - 2}
    assert all(one[-2] == 1 for one in renewed)
    states = {one[a:b] for one in renewed for a, b in ((2, 6), (9, 13))}
    assert len(states) == 6


def test_state_that_cannot_be_written_fails_the_clone():
    memory = Pretended(CANARIES)
    book = AddressBook(BOOK, memory)
    book.find(between=lambda: None)
    memory.data.clear()

    with pytest.raises(OSError, match="no memory"):
        book.renew(SECRET)


def test_what_was_found_is_added_to_the_runtimes_own_report():
    book = AddressBook(BOOK, Pretended([*CANARIES, *drbg()]))
    book.find(between=lambda: None)
    own = {"name": "openssl", "result": "ok", "us": 3, "detail": "RAND_add", "essential": True}
    report = book.add_to({"fixers": [own], "notes": ["n"]})

    assert {fixer["name"]: (fixer["result"], fixer["detail"]) for fixer in report["fixers"]} == {
        "openssl": ("ok", "RAND_add, 1 in memory"),
        "random": ("ok", "1 in memory"),
        "ulid": ("absent", ""),
    }
    assert report["notes"] == ["n"]


drawn_words = st.lists(
    st.builds(
        lambda top, middle, low: top << 48 | middle << 32 | low,
        st.integers(1, 0xFFFE),
        st.integers(0, 0xFFFF),
        st.integers(1, 0xFFFF_FFFF),
    ),
    min_size=4,
    max_size=4,
)
others = st.lists(
    st.sampled_from([0, 1, RANDOM, RANDOM | 1, ULID, DERIVED, BASE, CODE]) | st.integers(0, 2**47),
    max_size=12,
)


@given(st.lists(st.tuples(others, drawn_words), max_size=6), others)
def test_exactly_the_objects_are_found_among_pointers_and_numbers(parts, rest):
    memory = [*CANARIES, 0]
    expected = [BASE + 16]
    for other, state in parts:
        memory += [*other, *generator(*state), 0]
        expected.append(BASE + 8 * len(memory) - 40)
    result = found([*memory, *rest, 0, 0, 0, 0])

    assert addresses(result) == expected


SLEEPER = """
import ctypes, struct, sys, time
state = ctypes.create_string_buffer(struct.pack("<7Q", 0, {table}, *{canary}, 0) * 50)
print(ctypes.addressof(state), flush=True)
sys.stdin.read(1)
print(bytes(state).hex(), flush=True)
"""


@pytest.fixture
def process():
    text = SLEEPER.format(table=RANDOM, canary=CANARY)
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child
        child.kill()


def test_another_process_is_searched_and_renewed(process):
    address = int(process.stdout.readline())
    if address % 8:
        pytest.fail("malloc gives multiples of 16")
    with Memory(process.pid) as memory:
        book = AddressBook(BOOK, memory)
        book.find(between=lambda: None)
        book.renew(SECRET)
        own = {address + 56 * n + 16 for n in range(50)}

        assert own <= {place.address for place in book._found.places}
        assert memory.read(8, 8) == b""
        with pytest.raises(OSError):
            memory.write(8, b"x")
    process.stdin.write("x")
    process.stdin.flush()
    said = bytes.fromhex(process.stdout.readline())
    objects = [said[at : at + 56] for at in range(0, 56 * 50, 56)]

    assert all(one[:16] == pack([0, RANDOM]) and one[48:] == bytes(8) for one in objects)
    assert len({one[16:48] for one in objects} | {pack(CANARY)}) == 51


def test_memory_that_is_only_reserved_is_not_read(process):
    process.stdout.readline()
    with Memory(process.pid) as memory:
        resident = sum(len(data) for _, data in memory.chunks())
        private = sum(one.stop - one.start for one in memory.mappings() if one.private)

    assert 0 < resident < private
