"""The tests in C# of the two assemblies, and that both can be built as an image builds them."""

from __future__ import annotations

import subprocess

import dotnet_bed as bed
import thaw_dotnet_assemblies as assemblies

pytestmark = bed.needs_sdk

RUNTIME = bed.ROOT / "runtimes" / "dotnet"


def test_the_tests_in_csharp_pass(tmp_path):
    done = subprocess.run(
        [
            assemblies.find_sdk(),
            "test",
            RUNTIME / "tests",
            "--configuration=Release",
            "-p:RunAnalyzers=false",  # `./dev lint` has them
            "-nodeReuse:false",
            f"-p:ArtifactsPath={bed.CACHE}/artifacts",
        ],
        env=assemblies.build_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:]
    assert "Passed!" in done.stdout


def test_the_assemblies_are_plain_il_that_names_no_other_of_ours():
    folder = assemblies.ready(RUNTIME)

    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}.dll" for name in assemblies.NAMES
    ]
    for name in assemblies.NAMES:
        data = (folder / f"{name}.dll").read_bytes()
        assert str(bed.ROOT).encode() not in data  # the same bytes wherever they are built
