"""A load of publish, update, invoke, create and delete, a ledger of what was acknowledged, and a SIGKILL timed into an act.

Each of four threads has functions of its own, so what a function must be after a kill is known: as the last acknowledged
act left it, or, where an act was cut, as it was before or as it would have been afterwards. Nothing in between.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import os
import statistics
import threading
import time
import zipfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from live import Daemon, create, wait_until

from thawd.cli.client import DaemonRefused
from thawd.errors import DaemonUnreachable

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from thawd.cli.client import Client

KINDS = ("publish", "update", "invoke", "create", "delete")
INVOKED, PUBLISHED, UPDATED, DELETED = "invoked", "published", "updated", "deleted"
_FIRST_GUESS_S = {"publish": 3.0, "invoke": 0.3, "create": 0.1, "update": 0.05, "delete": 0.02}
_CODE = """\
import os, time
def handler(event, context):
    time.sleep(event["seconds"])
    return ["{mark}", os.environ["NOTE"]]
"""


def package(mark: str) -> bytes:
    """The zip of a function that answers with this mark and with its NOTE."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, _CODE.format(mark=mark))
    return data.getvalue()


def sha256(mark: str) -> str:
    return base64.b64encode(hashlib.sha256(package(mark)).digest()).decode()


@frozen
class Content:
    """What a version's answer and configuration show: the digest of its code, and its NOTE."""

    code: str
    note: str


@frozen
class Function:
    """A function as the API shows it."""

    latest: Content
    versions: dict[int, Content] = field(factory=dict)

    def with_version(self, number: int) -> Function:
        return evolve(self, versions={**self.versions, number: self.latest})

    def without(self, number: int) -> Function:
        return evolve(
            self, versions={key: one for key, one in self.versions.items() if key != number}
        )


@define(eq=False)
class Act:
    """Something that was asked of the daemon: `before` until it takes effect, `after` once it has."""

    kind: str
    name: str
    before: Function | None
    after: Function | None
    ended: threading.Event = field(factory=threading.Event)


@define(eq=False)
class Load:
    """The acts, and what is known of them. `run` is one life of the daemon."""

    daemon: Daemon
    random: random.Random
    known: dict[str, Function | None] = field(factory=dict)
    numbers: Counter[str] = field(factory=Counter)
    """The last version number given under each name."""
    marks: dict[str, str] = field(factory=dict)
    """The mark of each code by its digest."""
    in_flight: dict[str, Act] = field(factory=dict)
    cut: Counter[str] = field(factory=Counter)
    kills: int = 0
    found: Counter[str] = field(factory=Counter)
    """What lay half done on disk after kills."""
    _count: Iterator[int] = field(factory=itertools.count)
    _took_s: dict[str, list[float]] = field(factory=lambda: defaultdict(list))
    _began: threading.Condition = field(factory=threading.Condition)
    _killed: bool = False
    _over: bool = False

    # Acts

    @contextmanager
    def act(self, kind: str, name: str, after: Function | None) -> Iterator[Act]:
        """An act; it counts as cut when the block does not come to its end."""
        act = Act(kind, name, self.known.get(name), after)
        with self._began:
            self.in_flight[name] = act
            self._began.notify_all()
        began = time.monotonic()
        yield act
        with self._began:
            self.known[name] = after
            del self.in_flight[name]
            self._took_s[kind].append(time.monotonic() - began)
            act.ended.set()

    def create(self, client: Client, name: str) -> None:
        mark, note = self._mark(), self._text()
        content = Content(sha256(mark), note)
        with self.act("create", name, Function(content)):
            create(client, name, package(mark), environment={"NOTE": note}, MemorySize=128)

    def update_code(self, client: Client, name: str) -> None:
        mark, now = self._mark(), self._of(name)
        after = evolve(now, latest=evolve(now.latest, code=sha256(mark)))
        with self.act("update", name, after):
            client.update_code(name, {"ZipFile": base64.b64encode(package(mark)).decode()})

    def update_configuration(self, client: Client, name: str) -> None:
        note, now = self._text(), self._of(name)
        after = evolve(now, latest=evolve(now.latest, note=note))
        with self.act("update", name, after):
            client.update_configuration(name, {"Environment": {"Variables": {"NOTE": note}}})

    def publish(self, client: Client, name: str, *, wait: bool = True) -> None:
        """Publish; with `wait` the act lasts until the version is Active."""
        number = self.numbers[name] + 1
        after = self._of(name).with_version(number)
        with self.act("publish", name, after) as act:
            answer = client.publish_version(name)
            assert answer["Version"] == str(number), answer
            self.numbers[name] = number
            # From here on it may not be lost any more.
            act.before = after
            if wait:
                self._settle(client, name)

    def settle(self, client: Client, name: str) -> None:
        """Wait for what the daemon had begun to publish before it was killed: that is publishing, too."""
        with self.act("publish", name, self.known[name]):
            self._settle(client, name)

    def invoke(self, client: Client, name: str, number: int | None, seconds: float) -> None:
        now = self._of(name)
        content = now.latest if number is None else now.versions[number]
        with self.act("invoke", name, now):
            answer = client.invoke(
                name,
                None if number is None else str(number),
                json.dumps({"seconds": seconds}).encode(),
            )
        assert answer.function_error is None, answer.payload
        assert json.loads(answer.payload) == [self.marks[content.code], content.note]

    def delete_version(self, client: Client, name: str, number: int) -> None:
        with self.act("delete", name, self._of(name).without(number)):
            client.delete_function(name, str(number))

    def delete(self, client: Client, name: str) -> None:
        with self.act("delete", name, None):
            client.delete_function(name)

    # Threads

    def _invoking(self, client: Client) -> None:
        self.invoke(client, INVOKED, 1, self.random.uniform(0, 0.3))

    def _publishing(self, client: Client) -> None:
        self.settle(client, PUBLISHED)
        change = self.random.choice([self.update_code, self.update_configuration])
        change(client, PUBLISHED)
        self.publish(client, PUBLISHED)
        if len(versions := self._of(PUBLISHED).versions) > 2:
            self.delete_version(client, PUBLISHED, min(versions))

    def _updating(self, client: Client) -> None:
        self.update_code(client, UPDATED)
        time.sleep(0.05)
        self.update_configuration(client, UPDATED)
        time.sleep(0.05)

    def _deleting(self, client: Client) -> None:
        """Functions are deleted without a version, while one is being published, and with its snapshot."""
        if self.known.get(DELETED) is None:
            self.create(client, DELETED)
            if self.random.random() < 0.4:
                self.publish(client, DELETED, wait=self.random.random() < 0.5)
            time.sleep(self.random.uniform(0, 0.3))
        self.delete(client, DELETED)

    def _repeat(self, step: Callable[[Client], None]) -> None:
        try:
            with self.daemon.client() as client:
                while not self._over:
                    step(client)
        except DaemonUnreachable:
            if not self._killed:
                raise
        finally:
            with self._began:
                self._over = True
                self._began.notify_all()

    # Kills

    def set_up(self) -> None:
        with self.daemon.client() as client:
            for name in (INVOKED, PUBLISHED, UPDATED):
                self.create(client, name)
            self.publish(client, INVOKED)

    def kill_in(self, kind: str) -> None:
        """Put the daemon under load, kill it in an act of this kind, start it again and look at everything."""
        self._killed = self._over = False
        steps = (self._invoking, self._publishing, self._updating, self._deleting)
        with ThreadPoolExecutor(len(steps)) as threads:
            running = [threads.submit(self._repeat, step) for step in steps]
            try:
                act = self._somewhere_in(kind)
                self._killed = True
                self.daemon.kill()
            finally:
                self._over = True
            for thread in running:
                thread.result()
        self.kills += 1
        if not act.ended.is_set():
            self.cut[kind] += 1
        half_done = self.look_at_the_dead()
        self.daemon.start()
        self.check(half_done, act.name)

    def _somewhere_in(self, kind: str) -> Act:
        """Return at a random point of an act of this kind, from its first byte to its end."""
        while True:
            with self._began:
                before = set(self.in_flight.values())

                def new() -> list[Act]:
                    now = self.in_flight.values()
                    return [act for act in now if act.kind == kind and act not in before]  # noqa: B023

                assert self._began.wait_for(lambda: new() or self._over, 120), f"no {kind}"
                if self._over:
                    # The thread that ended tells why.
                    return Act(kind, "", None, None)
                (act,) = new()[:1]
                took = self._took_s[kind][-20:] or [_FIRST_GUESS_S[kind]]
            delay_s = self.random.uniform(0, statistics.median(took))
            if not act.ended.wait(delay_s):
                return act

    # What must be so afterwards

    def look_at_the_dead(self) -> list[Path]:
        """No process of the dead daemon lives on; returns what it left half done."""
        wait_until(lambda: not self.processes(), seconds=10, what="machines died with the daemon")
        snapshots, code = ((self.daemon.state / name) for name in ("snapshots", "code"))
        half = {"snapshots": list(snapshots.glob(".new-*")), "packages": list(code.glob(".new-*"))}
        for what, paths in half.items():
            self.found[what] += bool(paths)
        return [*half["snapshots"], *half["packages"], *self.daemon.runtime.glob("*/*")]

    def processes(self) -> list[int]:
        """Everything that runs on the daemon's directories, by its command line."""
        marks = [os.fsencode(path) for path in (self.daemon.state, self.daemon.runtime)]
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue
            if any(mark in line for mark in marks):
                found.append(int(path.parent.name))
        return found

    def check(self, half_done: list[Path], touched: str) -> None:
        """Everything that was acknowledged is there and works, and nothing else."""
        with self.daemon.client() as client:
            listed = {one["FunctionName"] for one in client.list_functions()}
            for name in self.known.keys() | self.in_flight.keys():
                self._check_function(client, name, listed)
            assert listed <= self.known.keys()
            self.in_flight.clear()
            assert not [path for path in half_done if path.exists()]
            self._check_snapshots(client)
            daemons = [pid for pid in self.processes() if pid not in self.daemon.machines()]
            assert self.daemon.process is not None
            assert daemons == [self.daemon.process.pid]
            for name in {INVOKED, touched}:
                self._check_answer(client, name)

    def check_all_answers(self) -> None:
        with self.daemon.client() as client:
            for name in self.known:
                self._check_answer(client, name)

    def _check_function(self, client: Client, name: str, listed: set[str]) -> None:
        act = self.in_flight.get(name)
        possible = [self.known.get(name)] if act is None else [act.before, act.after]
        observed = self._observe(client, name)
        assert observed in possible, (act and act.kind, observed, possible)
        assert (observed is not None) == (name in listed)
        self.known[name] = observed
        if observed is not None:
            self.numbers[name] = max([self.numbers[name], *observed.versions])

    def _observe(self, client: Client, name: str) -> Function | None:
        try:
            shown = client.list_versions(name)
        except DaemonRefused as refused:
            if refused.code != "ResourceNotFoundException":
                raise
            return None
        for one in shown:
            assert one["State"] in {"Pending", "Active"}, one
        latest, *versions = [
            Content(one["CodeSha256"], one["Environment"]["Variables"]["NOTE"]) for one in shown
        ]
        numbers = [int(one["Version"]) for one in shown[1:]]
        return Function(latest, dict(zip(numbers, versions, strict=True)))

    def _check_snapshots(self, client: Client) -> None:
        """An Active version has a whole snapshot, and there is none without a version."""
        functions = self.daemon.state / "snapshots" / "functions"
        on_disk = {(path.parent.name, path.name) for path in functions.glob("*/*")}
        shown = {
            (name, one["Version"]): one["State"]
            for name, now in self.known.items()
            if now is not None
            for one in client.list_versions(name)[1:]
        }
        assert on_disk <= shown.keys()
        whole = {path.parent.parts[-2:] for path in functions.glob("*/*/manifest.json")}
        assert {key for key, state in shown.items() if state == "Active"} <= whole
        folders = {path.name for path in functions.glob("*")}
        assert folders <= {name for name, now in self.known.items() if now is not None}
        assert not (self.daemon.state / "snapshots" / "unknown").exists()

    def _check_answer(self, client: Client, name: str) -> None:
        now = self.known.get(name)
        if now is None:
            return
        self._settle(client, name)
        self.invoke(client, name, max(now.versions, default=None), 0)

    def _settle(self, client: Client, name: str) -> None:
        """Wait until no version is Pending: every one becomes Active."""

        def states() -> dict[str, Any]:
            return {one["Version"]: one for one in client.list_versions(name)}

        wait_until(
            lambda: all(one["State"] != "Pending" for one in states().values()),
            seconds=120,
            what=f"{name} is published",
        )
        assert {one["State"] for one in states().values()} == {"Active"}, states()

    def _of(self, name: str) -> Function:
        function = self.known[name]
        assert function is not None
        return function

    def _text(self) -> str:
        return str(next(self._count))

    def _mark(self) -> str:
        mark = self._text()
        self.marks[sha256(mark)] = mark
        return mark
