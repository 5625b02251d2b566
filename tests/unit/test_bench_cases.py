"""The benchmarks' rows come from the languages' folders."""

import importlib.util
import sys
from pathlib import Path

import cattrs
import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def cases():
    spec = importlib.util.spec_from_file_location("bench_cases", BENCH / "cases.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_cases"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_cases"]


def test_every_case_names_a_function_that_is_there(cases):
    found = cases.find()

    assert "python-hello" in {case.name for case in found}
    assert all(any(case.code.iterdir()) for case in found)


def test_a_folder_of_another_language_brings_its_own(cases, tmp_path):
    folder = tmp_path / "befunge" / "bench"
    folder.mkdir(parents=True)
    (folder / "loop.toml").write_text('runtime = "befunge98"\nhandler = "h"\ncode = "../loop"\n')
    (case,) = cases.find(tmp_path)

    assert (case.name, case.runtime) == ("befunge-loop", "befunge98")
    assert case.code == folder / "../loop"


@pytest.mark.parametrize("more", ["evnt = '1'", "event = 'no JSON'", "memory_mib = 'much'"])
def test_a_case_that_is_wrong_is_refused(cases, tmp_path, more):
    path = tmp_path / "befunge" / "bench" / "loop.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'runtime = "befunge98"\nhandler = "h"\ncode = "."\n{more}\n')
    with pytest.raises(cattrs.BaseValidationError):
        cases.load(path)
