"""Functions as they are met: each publishes, whatever its globals override, and its report names what is unique.

What the reports do with hostile objects is in tests/unit/test_runtime_walk.py.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtimes" / "python"

BED = """
import json, sys
sys.path[:0] = [{runtime!r}, {root!r}]
from thaw_runtime.draw import Draw
from thaw_runtime.recording import Recorder
from thaw_runtime.registry import Registry
registry, records = Registry(), []
recorder = Recorder(records.append)
registry.start()
recorder.start()
import app
recorder.keep_globals()
registry.freeze()
registry.thaw(Draw(bytes(64)))
print(json.dumps({{
    "notes": registry.notes,
    "caught": registry.diagnosis.caught + recorder.diagnosis.caught,
    "own": sorted(name for name, _ in recorder._bundle.own_modules()),
    "held": {{r["name"]: r["value"] for r in records if r["kind"] == "global"}},
    "said": app.handler(None, None),
}}))
"""


def published(folder: Path, source: str) -> dict:
    """What the freeze of a function with this source reports, and what its handler says after a thaw."""
    (folder / "app.py").write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-c", BED.format(runtime=str(RUNTIME), root=str(folder))],
        env={"LAMBDA_TASK_ROOT": str(folder), "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def unique(report: dict) -> list[str]:
    return [note.partition(" ")[0] for note in report["notes"] if "was made unique" in note]


def test_a_global_enum_flag_publishes(tmp_path):
    """A flag iterates over its members, and its only member is itself."""
    report = published(
        tmp_path,
        """
        import re, ssl, enum
        FLAGS = re.IGNORECASE
        OPTIONS = ssl.OP_NO_SSLv2 | ssl.OP_NO_COMPRESSION
        class Own(enum.Flag):
            ONE = 1
        ONE = Own.ONE
        def handler(event, context):
            return bool(re.search("TEA", "green tea", FLAGS))
        """,
    )

    assert (report["caught"], unique(report), report["said"]) == (0, [], True)


def test_a_date_without_a_time_stamp_publishes(tmp_path):
    """datetime.min.timestamp() raises; the idiom is `last_seen = datetime.min`."""
    report = published(
        tmp_path,
        """
        from datetime import datetime, timezone, timedelta
        NEVER, ALWAYS = datetime.min, datetime.max
        EDGE = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
        STARTED = datetime.now(timezone.utc)
        def handler(event, context):
            return NEVER.isoformat()
        """,
    )

    assert (report["caught"], unique(report)) == (0, ["app.STARTED"])
    assert report["held"]["app.NEVER"] == report["said"]


def test_a_lazy_proxy_publishes_and_makes_nothing(tmp_path):
    """As werkzeug's LocalProxy (Flask's `request`) and Django's LazyObject: even its class is the object's."""
    report = published(
        tmp_path,
        """
        MADE = []
        class Lazy:
            def __init__(self, make):
                object.__setattr__(self, "_make", make)
            @property
            def __class__(self):
                return type(self._make())
            @property
            def __dict__(self):
                return self._make().__dict__
            def __getattr__(self, name):
                return getattr(self._make(), name)
            for name in ("eq", "hash", "iter", "len", "bool", "repr", "str", "contains", "getitem", "call"):
                exec(f"def __{name}__(self, *a): return getattr(self._make(), '__{name}__')(*a)")
        def connect():
            MADE.append(1)
            raise RuntimeError("used outside of a request")
        request = Lazy(connect)
        nested = {"current": [request]}
        def handler(event, context):
            return len(MADE)
        """,
    )

    assert (report["caught"], report["said"]) == (0, 0)


@pytest.mark.parametrize("stripped", [False, True])
def test_a_bundle_with_requests_publishes(tmp_path, stripped):
    """Its libraries lie beside app.py; with the RECORDs taken away for size they count as the function's, and publish."""
    installed_into(tmp_path, "requests", "urllib3", "idna", "certifi", "charset-normalizer")
    if stripped:
        for folder in tmp_path.glob("*.dist-info"):
            shutil.rmtree(folder)
    report = published(
        tmp_path,
        """
        import requests
        session = requests.Session()
        def handler(event, context):
            return requests.__file__
        """,
    )

    assert report["said"].startswith(str(tmp_path))
    assert report["caught"] == 0
    assert ("urllib3.util.ssl_" in report["own"]) is stripped
    assert unique(report) == []
    if not stripped:
        assert report["own"] == ["app"]


def test_objects_of_ordinary_libraries_publish(tmp_path):
    """Clients, engines, arrays, masks, time stamps and loggers held by the function; some with an `__eq__` of their own."""
    report = published(
        tmp_path,
        f"""
        import sys
        sys.path.append({sysconfig_purelib()!r})
        import decimal, fractions, logging, os, pathlib, re, unittest.mock, collections, dataclasses, weakref, uuid
        import boto3, numpy, redis, sqlalchemy
        session = boto3.Session(region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
        table = boto3.resource("dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
        client = session.client("s3")
        pool = redis.ConnectionPool()
        engine = sqlalchemy.create_engine("sqlite://")
        column = sqlalchemy.column("id") == 5
        meta = sqlalchemy.MetaData()
        users = sqlalchemy.Table("users", meta, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
        array, mask = numpy.arange(10), numpy.arange(10) > 4
        when, masked, record = numpy.datetime64("now"), numpy.ma.masked, numpy.zeros(3, dtype="i4,f8")
        scalars = [numpy.float64(1.5), numpy.int64(5), numpy.nan, numpy.str_("name"), numpy.bool_(True)]
        generator = numpy.random.default_rng()
        mock, magic, call = unittest.mock.Mock(), unittest.mock.MagicMock(), unittest.mock.call
        counter, default = collections.Counter("tea"), collections.defaultdict(list)
        path, money, pattern, log = pathlib.Path("/tmp"), decimal.Decimal("sNaN"), re.compile("a"), logging.getLogger()
        proxy, huge, ENV, stream = weakref.proxy(log), 10 ** 6000, os.environ, sys.stdout
        ID = str(uuid.uuid4())
        def handler(event, context):
            return None
        """,
    )

    assert (report["caught"], unique(report)) == (0, ["app.ID"])
    assert "app.ID" in report["held"]
    assert "app.scalars[3]" in report["held"]


def test_what_is_unique_is_found_in_every_form_that_a_program_keeps(tmp_path):
    """Subclasses too, and zones that are Python code, which is not run."""
    report = published(
        tmp_path,
        """
        import datetime, enum, os, secrets, time, uuid
        asked = []
        class Text(str):
            def __eq__(self, other): asked.append("eq"); return False
            __hash__ = None
        class Number(int):
            def __index__(self): asked.append("index"); return 0
            bit_length = __int__ = __index__
        class Moment(datetime.datetime):
            def timestamp(self): asked.append("timestamp"); return 0
        class Zone(datetime.tzinfo):
            def utcoffset(self, when): asked.append("utcoffset"); return datetime.timedelta(hours=5, minutes=30)
            dst = utcoffset
        TEXT, NUMBER, KEY = Text(secrets.token_hex(16)), Number(time.time_ns()), bytearray(os.urandom(16))
        ID, STARTED, NAIVE = uuid.uuid4(), time.time(), datetime.datetime.now()
        OWN = Moment.now()
        ELSEWHERE = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(hours=5.5)
        ELSEWHERE = ELSEWHERE.replace(tzinfo=Zone(), microsecond=ELSEWHERE.microsecond or 1)
        MIDNIGHT = datetime.datetime(2020, 1, 1, tzinfo=Zone())
        asked.clear()
        def handler(event, context):
            return asked
        """,
    )

    names = ("TEXT", "NUMBER", "KEY", "ID", "STARTED", "NAIVE", "OWN", "ELSEWHERE")
    assert unique(report) == [f"app.{name}" for name in names]
    assert (report["caught"], report["said"]) == (0, [])
    assert {f"app.{name}" for name in names} <= set(report["held"])


def sysconfig_purelib() -> str:
    import sysconfig

    return sysconfig.get_paths()["purelib"]


def installed_into(folder: Path, *names: str) -> None:
    """The files of distributions that are installed here, as `pip install --target` lays them."""
    for name in names:
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), folder / file)
