"""What is installed from the wheel has all that the source tree has, and needs no source tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import thaw_dotnet_assemblies as assemblies
from dotnet_bed import needs_sdk
from installing import ROOT, environment

from thawd.images.recipe import load

FOUND = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
"""
RECIPES = """
import json, sys

from thawd.images.recipe import load

print(json.dumps({name: load(name).digest for name in sys.argv[1:]}))
"""


def in_git(folder: str) -> set[str]:
    """The files of a folder of the source tree, by their path below it; without git, those that are there."""
    try:
        said = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        names = [name for name in said.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
    return {name.removeprefix(f"{folder}/") for name in names}


@pytest.fixture(scope="session")
def members(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(members: set[str], folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in members if name.startswith(folder)}


def test_every_file_of_a_package_is_in_the_wheel(members):
    for folder, package in {
        "daemon": "",
        "guest_agent": "",
        "runtimes/python/thaw_runtime": "thaw_runtime/",
    }.items():
        files = {f"{package}{name}" for name in in_git(folder)}
        assert files
        assert files - members == set()


def test_every_file_of_a_language_is_in_the_wheel_and_nothing_else(members):
    files = in_git("runtimes")
    built = {f"dotnet/{assemblies.BUILT}/{name}.dll" for name in assemblies.NAMES}

    assert files
    assert below(members, "thawd/_runtimes/") - built == files


@needs_sdk
def test_the_assemblies_of_dotnets_runtime_are_in_the_wheel(members):
    built = {f"{name}.dll" for name in assemblies.NAMES}

    assert below(members, f"thawd/_runtimes/dotnet/{assemblies.BUILT}/") == built


def test_the_units_and_their_page_are_in_the_wheel(members):
    (data,) = {
        name.partition("/")[0] for name in members if name.partition("/")[0].endswith(".data")
    }

    assert below(members, f"{data}/data/share/thawd/systemd/") == in_git("systemd")


def test_nothing_that_a_tool_left_is_in_the_wheel(members):
    assert [name for name in members if "__pycache__" in name or name.endswith(".pyc")] == []


def test_an_editable_install_has_no_copies(tmp_path):
    """They would grow old beside the sources that are in use."""
    environment(tmp_path / "venv", "--no-deps", "--editable", ROOT)
    names = [path.as_posix() for path in (tmp_path / "venv").rglob("*")]

    assert [name for name in names if name.endswith("thawd.pth")]
    assert [name for name in names if "_runtimes" in name or "share/thawd" in name] == []


def test_the_packages_come_from_the_environment(installed):
    done = installed.call("python", "-c", FOUND, "thawd", "thaw_agent", "thaw_runtime")
    assert done.returncode == 0, done.stderr

    for file in json.loads(done.stdout).values():
        assert Path(file).is_relative_to(installed.prefix)


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "image build --help", "demo --help", "daemon --help", "check --help"],
)
def test_the_command_answers(installed, arguments):
    done = installed.call("thaw", *arguments.split())

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("usage: ", "thaw "))


def test_every_recipe_is_found_and_whole(installed):
    """Its digest reads every file that goes into the image, so each of them is there: the same as in the source tree."""
    names = ["python3.13"]
    done = installed.call("python", "-c", RECIPES, *names)
    assert done.returncode == 0, done.stderr

    assert json.loads(done.stdout) == {name: load(name).digest for name in names}


def test_the_demo_finds_its_function(installed):
    program = "from thawd.cli import demo; print(demo._example())"
    done = installed.call("python", "-c", program)
    assert done.returncode == 0, done.stderr

    example = Path(done.stdout.strip())
    assert example.is_relative_to(installed.prefix)
    assert (example / "app.py").is_file()


def test_check_judges_a_function(installed):
    bad, good = installed.work / "bad", installed.work / "good"
    bad.mkdir()
    (bad / "app.py").write_text(
        "import uuid\n\nINSTANCE = uuid.uuid4()\n\n\ndef handler(event, context):\n"
        "    return str(INSTANCE)\n"
    )
    shutil.copytree(ROOT / "runtimes/python/examples/hello", good)

    refused = installed.call("thaw", "check", bad)
    assert refused.returncode == 1, refused.stderr
    assert "SNAP001" in refused.stdout
    passed = installed.call("thaw", "check", good)
    assert passed.returncode == 0, passed.stdout + passed.stderr
