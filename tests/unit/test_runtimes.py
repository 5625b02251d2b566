"""Languages as data: what a runtime.toml says, where it is found, and which error names what is wrong with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw_agent import wire
from thaw_agent.language import Language
from thawd import runtimes
from thawd.errors import ImageError

TINY = """
command = ["/usr/bin/tiny", "{handler}", "{runtime}:{memory_mib}"]
default_handler = "main"
[runtimes.tiny1]
log_name = "tiny:1"
[runtimes.tiny2]
log_name = "tiny:2"
image.packages = ["tiny"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.setenv(runtimes.DIRECTORIES, str(tmp_path))
    return tmp_path


def test_a_folder_with_a_file_is_a_language(folder):
    (folder / "tiny/runtime.toml").write_text(TINY)
    found = runtimes.known()

    assert {"tiny1", "tiny2", "python3.13"} <= found.keys()
    assert found["tiny2"].image.packages == ("tiny",)
    assert (found["tiny1"].language, found["tiny1"].log_name) == ("tiny", "tiny:1")
    assert found["tiny1"].must_report == ""


def test_thawds_own_languages_are_there_without_any_setting(monkeypatch):
    monkeypatch.delenv(runtimes.DIRECTORIES, raising=False)

    assert "python3.13" in runtimes.known()
    assert all(
        (runtime.directory / runtimes.FILE).exists() for runtime in runtimes.known().values()
    )


def test_the_usual_runtime_is_thawds_own_whatever_is_added(folder):
    (folder / "tiny/runtime.toml").write_text(TINY.replace('"tiny:1"', '"tiny:1"\ndefault = true'))

    assert runtimes.default().id == "python3.13"


def test_a_directory_that_is_named_comes_before_thawds_own(folder):
    (folder / "tiny/runtime.toml").write_text(TINY.replace("tiny1", '"python3.13"'))

    assert runtimes.find("python3.13").language == "tiny"


def test_a_directory_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(runtimes.DIRECTORIES, str(tmp_path / "nowhere"))

    with pytest.raises(ImageError, match="nowhere, which is no directory"):
        runtimes.runtimes_directories()


def test_an_unknown_runtime_comes_with_those_there_are(folder):
    with pytest.raises(ImageError, match="there is no runtime cobol") as caught:
        runtimes.find("cobol")

    assert "python3.13" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "command: required field missing"),
        (TINY.replace("default_handler", "handler"), "extra fields found (handler)"),
        (TINY.replace('"main"', "3"), "default_handler: 3 is not a string"),
        (TINY.replace('"main"', '""'), "default_handler must not be empty"),
        (TINY.replace("/usr/bin/tiny", "tiny"), "'tiny' is no absolute path"),
        (TINY.replace("{handler}", "{handlr}"), "'{handlr}': braces only as in {handler}"),
        (TINY.replace("{handler}", "{handler!r}"), "braces only as in"),
        (TINY.replace('["tiny"]', '"tiny"'), "runtimes['tiny2'].image.packages: 'tiny' is not a"),
        (TINY.replace("tiny1", "Tiny"), "'Tiny' is no runtime's name"),
        (TINY.replace("image.packages", "image.copy") + "", "is not a table"),
        (TINY + 'image.copy = { "../secret" = "etc/x" }', "'../secret' must be a path below"),
        (TINY + 'image.copy = { "a" = "/etc/x" }', "'/etc/x' must be a path below"),
        (TINY + 'image.remove = ["usr/../.."]', "must be a path below"),
        (TINY + "[environment]\ndefaults = 5", "environment.defaults: 5 is not a table"),
        (TINY + "[environment.search.P]\nalways = 5", "search['P'].always: 5 is not a list"),
        ("command = ", "cannot be read"),
        ("command = []\ndefault_handler = 'x'\nruntimes = {}", "must not be empty"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(folder, text, problem):
    path = folder / "tiny/runtime.toml"
    path.write_text(text)

    with pytest.raises(ImageError) as caught:
        runtimes.known()

    assert str(path) in caught.value.message
    assert problem in caught.value.message


def test_a_file_that_is_no_text_is_an_error_with_its_path(folder):
    path = folder / "tiny/runtime.toml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(ImageError, match="cannot be read"):
        runtimes.known()


words = st.text(st.characters(codec="utf-8", exclude_characters="{}\0"), max_size=10)
pieces = st.sampled_from(["{handler}", "{runtime}", "{memory_mib}"]) | words
templates = st.lists(pieces, min_size=1, max_size=5).map("".join)


@given(
    st.lists(templates, max_size=4),
    st.dictionaries(words, templates, max_size=3),
    st.text(max_size=20),
)
def test_the_agent_fills_in_what_the_host_lets_pass(arguments, defaults, handler):
    """What is baked into an image gives the agent the same command, whatever a handler is called."""
    runtime = runtimes.Runtime(
        id="tiny1",
        language="tiny",
        directory=runtimes.Path(),
        log_name="tiny:1",
        command=("/usr/bin/tiny", *arguments),
        default_handler="main",
        must_report="",
        environment=runtimes.Environment(defaults=defaults),
        image=runtimes.ImageParts(),
    )
    init = wire.Init(
        function_name="f", function_version="1", handler=handler, runtime="tiny1", memory_mib=128,
        initialization_type="on-demand", clock_ns=0, entropy="", hostname="", machine_id="", boot_id="",
    )  # fmt: skip
    language = Language(json.loads(runtime.baked()))

    def filled(template: str) -> str:
        return template.format(handler=handler, runtime="tiny1", memory_mib=128)

    assert [filled(part) for part in runtime.command] == language.command(init)
    assert {name: filled(text) for name, text in defaults.items()} == language.defaults(init)


def test_a_runtimes_image_is_its_languages_and_its_own(folder):
    (folder / "tiny/runtime.toml").write_text(
        TINY.replace('image.packages = ["tiny"]', "")
        + """
image.packages = ["second"]
image.copy = { "b" = "etc/b" }
image.settings = { version = "2" }
image.archive = { suite = "noble", python = "3.12", components = ["main", "universe"] }
[image]
packages = ["first"]
build = "build.py"
sources = ["lib"]
copy = { "a" = "etc/a" }
settings = { version = "1", kind = "x" }
"""
    )
    found = runtimes.known()
    one, two = found["tiny1"].image, found["tiny2"].image

    assert (one.packages, two.packages) == (("first",), ("first", "second"))
    assert (one.build, two.build) == ("build.py", "build.py")
    assert (one.sources, two.sources) == (("lib",), ("lib",))
    assert two.copy == {"a": "etc/a", "b": "etc/b"}
    assert (one.settings["version"], two.settings) == ("1", {"version": "2", "kind": "x"})
    assert one.archive is None
    assert two.archive == runtimes.Archive(
        suite="noble", python="3.12", components=("main", "universe")
    )


def test_an_archive_without_its_suite_is_named(folder):
    (folder / "tiny/runtime.toml").write_text(TINY + 'image.archive = { python = "3.12" }')

    with pytest.raises(ImageError, match=r"image\.archive\.suite: required field missing"):
        runtimes.known()
