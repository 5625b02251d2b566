"""The clone test's judgement on observations made up here: what is cloned is found, what is not is left alone."""

# ruff: noqa: ARG005 - what a clone says is a function of start, clone and event, though it may not depend on each

from __future__ import annotations

import base64
import random
import string
import uuid
from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_check.clones import (
    Answer,
    ColdStart,
    Global,
    Observation,
    Tap,
    Verdict,
    compare,
    findings,
)
from thaw_check.clones.atoms import atoms, capacity_bits, chance_bits, shape
from thaw_check.findings import Level

NOW = 1_790_000_000.0
EVENTS = (
    {"id": "req-0001", "payload": "7b3e83a93bf38a02"},
    {"id": "req-0002", "payload": "1c514914e794aacb"},
)


class World:
    """Functions of (cold start, clone, event): the ways in which a value can come about."""

    def __init__(self, seed=0):
        self.seed = seed

    def draw(self, *key):
        return random.Random(repr((self.seed, *key)))

    def cloned(self, name, start):
        return self.draw(name, start)

    def generator(self, name, start, event):
        return self.draw(name, start, event)

    def fresh(self, name, start, clone, event):
        return self.draw(name, start, clone, event)


def observe(
    respond,
    *,
    logs=None,
    outbound=None,
    files=None,
    starts=2,
    clones=2,
    events=EVENTS,
    given=None,
    apart=1,
    **rest,
):
    """Cold starts whose clones answer `respond(start, clone, event number)`."""
    return [
        ColdStart(
            tuple(
                Observation(
                    tuple(
                        Answer(
                            respond(start, clone, number),
                            logs=logs(start, clone, number) if logs else (),
                            outbound=outbound(start, clone, number) if outbound else (),
                            given=given(start, clone, number) if given else (),
                            began_s=NOW + start * 60 + clone * apart,
                            ended_s=NOW + start * 60 + clone * apart + 0.1,
                        )
                        for number in range(len(events))
                    ),
                    files=files(start, clone) if files else (),
                )
                for clone in range(clones)
            ),
            **{name: make(start) for name, make in rest.items()},
        )
        for start in range(starts)
    ]


def judged(starts, events=EVENTS):
    return {(found.path, found.verdict) for found in compare(events, starts).findings}


WORLD = World()


def hexes(rng, n=32):
    return f"{rng.getrandbits(4 * n):0{n}x}"


class TestResponses:
    def test_the_three_outcomes(self):
        comparison = compare(
            EVENTS,
            observe(
                lambda s, c, e: {
                    "version": "git-58f0e2a1c3",
                    "instance": hexes(WORLD.cloned("i", s)),
                    "request": hexes(WORLD.fresh("r", s, c, e)),
                }
            ),
        )

        (found,) = comparison.findings
        assert (Verdict.VALUE, "$.instance", "2 of 2", (0, 1)) == (
            found.verdict,
            found.path,
            found.clones,
            found.events,
        )
        assert 100 <= found.bits <= 128
        assert found.values[0] != found.values[1]
        assert (2, 2) == (comparison.constant, comparison.unique)

    def test_an_id_of_zeros_alone_in_every_clone_is_one_that_nobody_made(self):
        """Reported of a sample hook for .NET, which renews its id by `new Guid()`."""
        nil = str(uuid.UUID(int=0))
        starts = observe(lambda s, c, e: {"id": nil, "made": hexes(WORLD.fresh("m", s, c, e))})
        comparison = compare(EVENTS, starts)
        (found,) = findings(comparison)

        assert [("$.id", Verdict.EMPTY)] == [(f.path, f.verdict) for f in comparison.findings]
        assert ("CLONE006", Level.INFO) == (found.rule, found.level)
        assert "Guid.NewGuid()" in found.fix

    def test_other_constants_of_zeros_are_left_alone(self):
        starts = observe(lambda s, c, e: {"id": "00000000", "span": "0" * 16, "many": [0, 0.0]})

        assert not judged(starts)

    def test_a_cloned_generator_gives_each_event_its_own_value(self):
        starts = observe(lambda s, c, e: {"trace": hexes(WORLD.generator("t", s, e))})

        assert {("$.trace", Verdict.GENERATOR)} == judged(starts)

    def test_small_draws_add_up_over_events(self):
        events = [{"n": n} for n in range(20)]
        starts = observe(lambda s, c, e: WORLD.generator("d", s, e).randrange(1000), events=events)

        assert {("$", Verdict.GENERATOR)} == judged(starts, events)
        assert {("$", Verdict.HINT)} == judged(
            observe(lambda s, c, e: WORLD.cloned("d", s).randrange(1000))
        )

    @pytest.mark.parametrize(
        "value",
        [
            lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
            lambda rng: rng.getrandbits(64) | 1 << 63,
            lambda rng: rng.random(),
            lambda rng: base64.b64encode(rng.randbytes(12)).decode(),
            lambda rng: {"deep": [1, {"er": hexes(rng)}]},
            lambda rng: f"build 12 of {hexes(rng)} at host",
            lambda rng: "".join(rng.choices(string.ascii_lowercase + string.digits, k=12)),
        ],
    )
    def test_the_ways_to_write_a_unique_value(self, value):
        assert {Verdict.VALUE} == {
            v for _, v in judged(observe(lambda s, c, e: value(WORLD.cloned("x", s))))
        }
        assert set() == judged(observe(lambda s, c, e: value(WORLD.fresh("x", s, c, e))))
        assert set() == judged(observe(lambda s, c, e: value(random.Random(42))))

    def test_a_cloned_part_is_seen_beside_live_ones(self):
        def respond(s, c, e):
            moment = datetime.fromtimestamp(NOW + s * 60 + c, UTC).isoformat()
            return f"{moment} {hexes(WORLD.fresh('r', s, c, e))} took {c + 3} ms on {hexes(WORLD.cloned('i', s), 16)}"

        assert {("$", Verdict.VALUE)} == judged(observe(respond))

    def test_a_counter_is_not_chance(self):
        assert set() == judged(observe(lambda s, c, e: {"count": e + 1}))
        assert {Verdict.HINT} == {
            v for _, v in judged(observe(lambda s, c, e: {"build": 1_000_000 + s}))
        }

    def test_keys_that_are_ids(self):
        starts = observe(lambda s, c, e: {"ok": 1, hexes(WORLD.cloned("k", s)): {"x": 1}})

        assert {("$ (keys)", Verdict.VALUE)} == judged(starts)


class TestNoFalseAlarm:
    def test_echoes_of_the_event_and_of_what_the_test_gave(self):
        def given(s, c, e):
            return (f"{s}-request-{e}-5f3a9c", f"host-{s}-aabbccdd")

        def respond(s, c, e):
            return {
                "id": EVENTS[e]["id"],
                "in": f"<{EVENTS[e]['payload']}>",
                "req": given(s, c, e)[0],
                "h": list(given(s, c, e)),
            }

        assert set() == judged(observe(respond, given=given))
        assert set() != judged(observe(respond))

    def test_the_order_of_a_set(self):
        def respond(s, c, e):
            names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
            WORLD.cloned("order", s).shuffle(names)
            return {"set": names}

        assert set() == judged(observe(respond))

    def test_addresses_are_only_remarked(self):
        starts = observe(
            lambda s, c, e: {
                "id": 0x7F00_0000_0000 + WORLD.cloned("a", s).getrandbits(32) * 16,
                "hex": hex(0x5500_0000_0000 + WORLD.cloned("b", s).getrandbits(32) * 16),
                "repr": f"<object at {hex(0x7F00_0000_0000 + WORLD.cloned('c', s).getrandbits(32) * 16)}>",
            }
        )

        assert {Verdict.ADDRESS} == {verdict for _, verdict in judged(starts)}
        assert {Level.INFO} == {finding.level for finding in findings(compare(EVENTS, starts))}

    @pytest.mark.parametrize(
        "write",
        [
            lambda t: t,
            int,
            lambda t: int(t * 1000),
            lambda t: round(t * 1e9),
            lambda t: datetime.fromtimestamp(t, UTC).isoformat(),
            lambda t: f"[{datetime.fromtimestamp(t, UTC):%Y-%m-%dT%H:%M:%S}.123Z] hello",
        ],
    )
    def test_the_time_of_the_invocation_is_not_the_time_of_init(self, write):
        """Also where the test sets all clones' clocks alike."""
        now = observe(lambda s, c, e: write(NOW + s * 60 + 0.5), apart=0)
        then = observe(lambda s, c, e: write(NOW - 3600 - s * 77.25))

        assert set() == judged(now)
        assert {("$", Verdict.TIME)} == judged(then)

    @pytest.mark.parametrize("write", [lambda t: t, lambda t: round(t * 1e9)])
    def test_a_time_of_a_moment_ago_is_told_when_clones_ran_apart(self, write):
        """Two clones cannot have looked at the clock in the same millisecond."""
        just_before = observe(lambda s, c, e: write(NOW + s * 60 - 0.7512))

        assert {("$", Verdict.TIME)} == judged(just_before)

    def test_a_random_number_of_a_times_size_is_no_time(self):
        numbers = (2_101_069_661_234_567_890, 1_520_771_780_987_654_321)
        starts = observe(lambda s, c, e: numbers[s] + e * 10**17)

        assert {("$", Verdict.GENERATOR)} == judged(starts)

    def test_the_members_of_a_list_are_one_finding(self):
        def wide(s, number, e):
            return f"{(s * 1000 + number * 10 + e + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"

        starts = observe(lambda s, c, e: {"drawn": [wide(s, number, e) for number in range(4)]})
        (found,) = findings(compare(EVENTS, starts))

        assert "`$.drawn[0]` and 3 like it in 2 of 2 clones" in found.message

    def test_without_a_clock_a_time_is_a_hint(self):
        starts = observe(lambda s, c, e: NOW - 3600 - s * 77.25)
        unwatched = [
            evolve(
                start,
                clones=tuple(
                    evolve(c, answers=tuple(evolve(a, began_s=None) for a in c.answers))
                    for c in start.clones
                ),
            )
            for start in starts
        ]

        assert {("$", Verdict.HINT)} == judged(unwatched)

    def test_accidents(self):
        """One bit in two clones is equal half the time."""
        starts = observe(
            lambda s, c, e: {"coin": WORLD.fresh("c", s, c, e).choice([True, False]), "n": None}
        )

        assert not [v for _, v in judged(starts) if v is not Verdict.HINT]


class TestOtherChannels:
    def test_logs_in_any_order(self):
        def logs(s, c, e):
            lines = [
                f"START {hexes(WORLD.fresh('r', s, c, e))}",
                f"worker {hexes(WORLD.cloned('w', s))} ready",
                f"took {WORLD.fresh('t', s, c, e).random():.3f} ms",
                "done",
            ]
            return tuple(lines if c else reversed(lines))

        assert {("log 'worker # ready'[0]", Verdict.VALUE)} == judged(
            observe(lambda s, c, e: None, logs=logs)
        )

    def test_structured_logs(self):
        def logs(s, c, e):
            return (f'{{"level": "info", "session": "{hexes(WORLD.generator("s", s, e))}"}}',)

        assert {("log {level, session}[0].session", Verdict.GENERATOR)} == judged(
            observe(lambda s, c, e: 0, logs=logs)
        )

    def test_lines_that_not_every_clone_has(self):
        def logs(s, c, e):
            token = hexes(WORLD.cloned("w", s))
            return (f"first {token} of many",) if c else (f"again: {token}",)

        assert {("log (anywhere)", Verdict.VALUE)} == judged(
            observe(lambda s, c, e: None, logs=logs)
        )

    def test_file_names(self):
        def files(s, c):
            return (
                "cache",
                f"tmp{hexes(WORLD.cloned('f', s), 12)}",
                f"up-{hexes(WORLD.fresh('g', s, c, 0), 16)}",
            )

        ((path, verdict),) = judged(observe(lambda s, c, e: None, files=files))

        assert path.startswith("/tmp")
        assert Verdict.GENERATOR is verdict or Verdict.VALUE is verdict

    def test_http_requests_and_tls_greetings(self):
        def outbound(s, c, e):
            boundary = hexes(WORLD.generator("b", s, e))
            request = (
                f"POST / HTTP/1.1\r\nHost: x\r\nX-Id: {hexes(WORLD.fresh('h', s, c, e))}\r\n\r\n"
                f'{{"nonce": "{boundary}", "n": 1}}'
            )
            hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + WORLD.generator(
                "tls", s, e
            ).randbytes(64)
            return (request.encode(), hello)

        assert {
            ("outbound[0].body.nonce", Verdict.GENERATOR),
            ("outbound[1]", Verdict.GENERATOR),
        } == judged(observe(lambda s, c, e: None, outbound=outbound))

    def test_draws_after_the_restore_that_never_come_out(self):
        def with_draws(same):
            starts = observe(lambda s, c, e: None)
            return [
                evolve(
                    start,
                    clones=tuple(
                        evolve(
                            clone,
                            draws=(
                                Tap(
                                    "random.getrandbits",
                                    "app.py:9",
                                    str(WORLD.draw(s, c * (not same)).getrandbits(128) | 1 << 127),
                                ),
                                Tap(
                                    "random.random",
                                    "lib.py:1",
                                    str(random.Random(42).getrandbits(128)),
                                ),
                                Tap("random.choice", "app.py:3", "red"),
                            ),
                        )
                        for c, clone in enumerate(start.clones)
                    ),
                )
                for s, start in enumerate(starts)
            ]

        assert {("random.getrandbits at app.py:9", Verdict.GENERATOR)} == judged(
            with_draws(same=True)
        )
        assert set() == judged(with_draws(same=False))


class TestManyClones:
    def test_all_of_eight(self):
        (found,) = compare(
            EVENTS, observe(lambda s, c, e: hexes(WORLD.cloned("i", s)), starts=3, clones=8)
        ).findings

        assert "8 of 8" == found.clones

    def test_two_of_eight_that_raced(self):
        def respond(s, c, e):
            return hexes(
                WORLD.generator("i", s, e) if s == 0 and c in {2, 5} else WORLD.fresh("i", s, c, e)
            )

        (found,) = compare(EVENTS, observe(respond, clones=8)).findings

        assert "only 2 of 8" == found.clones

    def test_one_start_only(self):
        def respond(s, c, e):
            return hexes(WORLD.cloned("i", s) if s == 0 else WORLD.fresh("i", s, c, e))

        assert {("$", Verdict.VALUE)} == judged(observe(respond))

    def test_too_little_to_compare(self):
        full = observe(lambda s, c, e: 1)

        for starts in (full[:1], observe(lambda s, c, e: 1, clones=1)):
            with pytest.raises(ValueError, match="two cold starts with two clones"):
                compare(EVENTS, starts)
        with pytest.raises(ValueError, match="one answer for each event"):
            compare(EVENTS[:1], full)


class TestAttribution:
    def starts(self, said, tapped, name="handler.X"):
        def raw(s):
            return WORLD.cloned("i", s).randbytes(16)

        return observe(
            lambda s, c, e: said(raw(s)),
            taps=lambda s: (
                Tap("os.urandom", "handler.py:3", "00" * 16),
                Tap("uuid.uuid4", "handler.py:5", tapped(raw(s))),
                Tap("time.time", "handler.py:6", str(NOW - s)),
            ),
            globals=lambda s: (Global("handler.VERSION", "1.2.3"), Global(name, tapped(raw(s)))),
        )

    @pytest.mark.parametrize(
        ("said", "tapped"),
        [
            (bytes.hex, bytes.hex),
            (lambda raw: str(uuid.UUID(bytes=raw)), bytes.hex),
            (bytes.hex, lambda raw: str(uuid.UUID(bytes=raw))),
            (lambda raw: f"id-{raw.hex()[:12]}", bytes.hex),
            (lambda raw: base64.b64encode(raw).decode(), bytes.hex),
            (lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="), bytes.hex),
            (lambda raw: int.from_bytes(raw, "big"), bytes.hex),
            (
                lambda raw: f"{int.from_bytes(raw, 'big'):032x}",
                lambda raw: str(int.from_bytes(raw, "big")),
            ),
            (lambda raw: raw[0] * 256 + raw[1], lambda raw: str(raw[0] * 256 + raw[1])),
        ],
    )
    def test_whatever_way_it_is_written(self, said, tapped):
        (found,) = compare(EVENTS, self.starts(said, tapped)).findings

        assert [("uuid.uuid4", "handler.py:5")] == [(tap.source, tap.at) for tap in found.made_by]
        assert ["handler.X"] == [each.name for each in found.kept_in]

    def test_a_value_nobody_made_is_a_generators(self):
        starts = self.starts(lambda raw: raw[::-1].hex(), bytes.hex)

        (found,) = compare(
            EVENTS[:1],
            [
                evolve(s, clones=tuple(evolve(c, answers=c.answers[:1]) for c in s.clones))
                for s in starts
            ],
        ).findings

        assert (Verdict.GENERATOR, (), ()) == (found.verdict, found.made_by, found.kept_in)

    def test_in_the_words_of_a_report(self):
        (finding,) = findings(compare(EVENTS, self.starts(bytes.hex, bytes.hex)))

        assert ("CLONE001", Level.ERROR, "$", "handler.X") == (
            finding.rule,
            finding.level,
            finding.what,
            finding.target,
        )
        assert "handler.py:5:1" == str(finding.where)
        assert "made by `uuid.uuid4` at handler.py:5" in finding.message
        assert WORLD.cloned("i", 0).randbytes(16).hex() not in finding.message

    def test_a_value_nobody_made_may_be_a_child_processes(self):
        """The taps are in the function's own process; the snapshot's notes name the others."""
        starts = self.starts(lambda raw: raw[::-1].hex(), bytes.hex)
        notes = ["a child process started at app.py:28 (python3) lives on in every clone: ..."] * 2

        (finding, *_) = findings(compare(EVENTS, starts), [*notes, "something else"])

        assert "in a child process started at app.py:28" in finding.message
        assert str(finding.where) == "app.py:28:1"

    def test_a_value_with_a_source_is_not_laid_at_a_childs_door(self):
        notes = ["a child process started at app.py:28 (python3) lives on in every clone: ..."]

        (finding,) = findings(compare(EVENTS, self.starts(bytes.hex, bytes.hex)), notes)

        assert "child process" not in finding.message
        assert str(finding.where) == "handler.py:5:1"

    def test_times_are_known_by_the_call_that_read_them(self):
        starts = observe(
            lambda s, c, e: NOW - 5000 - s * 9,
            taps=lambda s: (Tap("time.time", "h.py:2", repr(NOW - 5000 - s * 9)),),
        )

        (found,) = compare(EVENTS, starts).findings

        assert (Verdict.TIME, "time.time") == (found.verdict, found.made_by[0].source)


class TestAtoms:
    def test_parts(self):
        text = "2026-11-23T09:00:00Z a=1.5 id:6b1f0f3a-2f3d-4d0e-9a55-0c9d4f6f7a10 <x at 0x7f001122aabb> tok_AbC-12="

        assert [
            ("2026-11-23T09:00:00Z", "TIME"),
            ("a", "WORD"),
            ("1.5", "NUMBER"),
            ("id", "WORD"),
            ("6b1f0f3a-2f3d-4d0e-9a55-0c9d4f6f7a10", "UUID"),
            ("x", "WORD"),
            ("at", "WORD"),
            ("0x7f001122aabb", "ADDRESS"),
            ("tok_AbC-12=", "WORD"),
        ] == [(atom.text, atom.kind.name) for atom in atoms(text)]
        assert "took # ms" == shape("took 12.5 ms")

    @pytest.mark.parametrize(
        ("one", "other", "low", "high"),
        [
            ("same", "same", 0, 0),
            ("1000001", "1000002", 0, 2),
            ("id-00000017", "id-00000018", 1, 7),
            ("0.1234567890123456", "0.9876543210987654", 53, 53),
            ("1.25", "1.5", 0, 6),
            ("ffffffff00000000", "0123456789abcdef", 48, 64),
            ("production", "staging", 2, 20),
        ],
    )
    def test_chance(self, one, other, low, high):
        assert low <= chance_bits(one, other) <= high

    @given(st.binary(min_size=8, max_size=32), st.binary(min_size=8, max_size=32))
    def test_chance_is_symmetric_and_no_more_than_fits(self, one, other):
        a, b = one.hex(), other.hex()

        assert chance_bits(a, b) == chance_bits(b, a)
        assert (
            0
            <= chance_bits(a, b)
            <= max(capacity_bits(a), capacity_bits(b), 4 * max(len(a), len(b)))
        )


KINDS = st.sampled_from(
    ["constant", "fresh", "cloned", "generator", "echo", "now", "then", "order", "seeded"]
)
WRITERS = st.sampled_from(["hex", "uuid", "base64", "text", "nested"])


def written(rng, way):
    raw = rng.randbytes(16)
    match way:
        case "hex":
            return raw.hex()
        case "uuid":
            return str(uuid.UUID(bytes=raw))
        case "base64":
            return base64.b64encode(raw).decode()
        case "text":
            return f"node {raw.hex()} is up"
    return [{"x": raw.hex()}, "y"]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), st.tuples(KINDS, WRITERS), max_size=6),
    st.integers(0, 10_000),
    st.integers(2, 3),
    st.integers(2, 4),
)
def test_exactly_what_was_cloned_is_found(plan, seed, starts, clones):
    """Whatever a response is made of: cloned values and generators are found, all else is not."""
    world = World(seed)

    def value(name, kind, way, at):
        s, c, e = at
        match kind:
            case "constant":
                return "v1.2.3"
            case "fresh":
                return written(world.fresh(name, s, c, e), way)
            case "cloned":
                return written(world.cloned(name, s), way)
            case "generator":
                return written(world.generator(name, s, e), way)
            case "echo":
                return f"got {EVENTS[e]['payload']}"
            case "now":
                return NOW + s * 60 + c
            case "then":
                return NOW - 9000 - 1000 * s
            case "order":
                return world.cloned(name, s).sample(["a", "b", "c", "d"], 4)
            case "seeded":
                return written(random.Random(name), way)
        raise AssertionError(kind)

    def respond(s, c, e):
        return {name: value(name, kind, way, (s, c, e)) for name, (kind, way) in plan.items()}

    comparison = compare(EVENTS, observe(respond, starts=starts, clones=clones))

    expected = {
        "cloned": Verdict.VALUE,
        "generator": Verdict.GENERATOR,
        "then": Verdict.TIME,
    }
    assert sorted(expected[kind] for kind, _ in plan.values() if kind in expected) == sorted(
        found.verdict for found in comparison.findings
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
ANSWERS = st.builds(
    Answer,
    response=JSON,
    logs=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    outbound=st.lists(st.binary(max_size=40), max_size=2).map(tuple),
    given=st.lists(st.text(max_size=8), max_size=2).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(JSON, st.lists(ANSWERS, min_size=2, max_size=4), st.lists(st.text(max_size=6), max_size=2))
def test_clones_of_one_answer_share_nothing_new(event, answers, files):
    """Any answers at all can be compared; where every clone says the same, nothing is found."""
    other = [
        ColdStart(tuple(Observation((answer,), tuple(files)) for answer in answers))
        for _ in range(2)
    ]
    equal = [
        ColdStart(tuple(Observation((answers[0],), tuple(files)) for _ in answers))
        for _ in range(2)
    ]

    compare([event], other)
    assert () == compare([event], equal).findings
