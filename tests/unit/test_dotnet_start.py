"""What becomes of a .NET handler: the program that runs it, or a refusal with cause and way out."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading

import pytest
import thaw_dotnet_start as start
from hypothesis import given
from hypothesis import strategies as st

ANY, X64, ARM64, LINUX = 0x14C, 0x8664, 0xAA64, 0x7B79
IL_ONLY, X86_ONLY, IL_LIBRARY = 1, 2, 4


def assembly(machine: int = ANY, flags: int | None = IL_ONLY) -> bytes:
    """As much of a PE file as says for which machine it is, and what is managed in it."""
    optional = struct.pack("<H", 0x10B).ljust(96 + 14 * 8, b"\0")
    optional += struct.pack("<II", 0x2008 if flags is not None else 0, 72) + bytes(8)
    section = b".text\0\0\0" + struct.pack("<IIII", 0x1000, 0x2000, 0x200, 0x400) + bytes(16)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    head = head.ljust(0x80, b"\0") + b"PE\0\0"
    head += struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), 0)
    managed = bytes(16) + struct.pack("<I", flags or 0)
    return (head + optional + section).ljust(0x408, b"\0") + managed


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    return folder


@pytest.fixture
def dotnet(tmp_path):
    """An installation of 10.0.12."""
    for name in ("Microsoft.NETCore.App", "Microsoft.AspNetCore.App"):
        (tmp_path / "dotnet/shared" / name / "10.0.12").mkdir(parents=True)
    return tmp_path / "dotnet"


def library(task, name="F", *, framework="Microsoft.NETCore.App", version="10.0.0", **options):
    (task / f"{name}.dll").write_bytes(assembly())
    (task / f"{name}.deps.json").write_text("{}")
    wanted = {"framework": {"name": framework, "version": version}, **options}
    (task / f"{name}.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": wanted}))


def command(task, dotnet, handler, **variables):
    return start.command(handler, variables, task=str(task), dotnet=str(dotnet))


def refused(task, dotnet, handler, **variables):
    with pytest.raises(start.Refused) as caught:
        command(task, dotnet, handler, **variables)
    return caught.value.code, str(caught.value)


def test_a_class_library_runs_in_our_host_with_its_own_files(task, dotnet):
    library(task)

    assert command(task, dotnet, "F::N.T::M") == [
        f"{dotnet}/dotnet",
        "exec",
        "--depsfile",
        f"{task}/F.deps.json",
        "--runtimeconfig",
        f"{task}/F.runtimeconfig.json",
        "/var/runtime/Thaw.Bootstrap.dll",
        "F::N.T::M",
    ]


@pytest.mark.parametrize("main", ["Main", "Main.dll"])
def test_the_main_assembly_can_be_another_one_than_the_handlers(task, dotnet, main):
    library(task, "Main")
    library(task, "Other")

    argv = command(task, dotnet, "F::N.T::M", LAMBDA_DOTNET_MAIN_ASSEMBLY=main)
    assert argv[3] == f"{task}/Main.deps.json"


def test_the_only_files_of_their_kind_are_taken_under_any_name(task, dotnet):
    library(task, "Main")

    assert command(task, dotnet, "F::N.T::M")[5] == f"{task}/Main.runtimeconfig.json"


def test_without_a_runtimeconfig_the_refusal_says_how_a_library_gets_one(task, dotnet):
    library(task)
    (task / "F.runtimeconfig.json").unlink()
    code, message = refused(task, dotnet, "F::N.T::M")

    assert code == 106
    assert "GenerateRuntimeConfigurationFiles" in message


@pytest.mark.parametrize(("suffix", "code"), [(".deps.json", 105), (".runtimeconfig.json", 106)])
def test_of_several_files_none_is_guessed(task, dotnet, suffix, code):
    library(task)
    (task / f"F{suffix}").rename(task / f"A{suffix}")
    (task / f"B{suffix}").write_text("{}")
    found, message = refused(task, dotnet, "F::N.T::M")

    assert found == code
    assert f"A{suffix}, B{suffix}" in message
    assert "LAMBDA_DOTNET_MAIN_ASSEMBLY" in message


def test_an_empty_package_and_no_handler_are_refused_as_on_lambda(task, dotnet):
    assert refused(task, dotnet, "F::N.T::M")[0] == 102
    (task / "x").write_text("")
    assert refused(task, dotnet, " ")[0] == 103


@pytest.mark.parametrize("handler", ["App", "App.dll"])
def test_an_executable_assembly_runs_by_itself(task, dotnet, handler):
    library(task, "App")

    assert command(task, dotnet, handler) == [f"{dotnet}/dotnet", "exec", f"{task}/App.dll"]


def test_an_executable_of_native_code_runs_by_itself(task, dotnet):
    program = task / "bootstrap"
    program.write_bytes(b"\x7fELF".ljust(18, b"\0") + struct.pack("<H", 62))
    program.chmod(0o755)

    assert command(task, dotnet, "bootstrap") == [str(program)]
    assert start.is_native([str(program)])


def test_an_executable_that_is_not_there_is_refused_with_both_kinds_of_handlers(task, dotnet):
    (task / "x").write_text("")
    code, message = refused(task, dotnet, "App")

    assert code == 104
    assert "Assembly::Namespace.Type::Method" in message


def test_an_executable_without_permission_is_refused(task, dotnet):
    (task / "App").write_bytes(b"\x7fELF".ljust(18, b"\0") + struct.pack("<H", 62))
    (task / "App").chmod(0o644)

    assert "chmod +x" in refused(task, dotnet, "App")[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"MZ" + bytes(100), "Windows"),
        (b"\x7fELF".ljust(18, b"\0") + struct.pack("<H", 183), "arm64"),
    ],
)
def test_an_executable_of_another_system_is_refused(task, dotnet, content, said):
    (task / "App").write_bytes(content)
    (task / "App").chmod(0o755)
    message = refused(task, dotnet, "App")[1]

    assert said in message
    assert "-r linux-x64" in message


@pytest.mark.parametrize(
    ("wanted", "options", "variables", "runs"),
    [
        ("10.0.0", {}, {}, True),
        ("10.0.12", {}, {}, True),
        ("10.0.13", {}, {}, False),
        ("10.1.0", {}, {}, False),
        ("8.0.0", {}, {}, False),
        ("11.0.0", {}, {}, False),
        ("8.0.0", {"rollForward": "Major"}, {}, True),
        ("8.0.0", {"rollForward": "LatestMajor"}, {}, True),
        ("8.0.0", {}, {"DOTNET_ROLL_FORWARD": "Major"}, True),
        ("10.0.0", {"rollForward": "Disable"}, {}, False),
        ("10.0.12", {"rollForward": "Disable"}, {}, True),
        ("10.0.0", {"rollForward": "LatestPatch"}, {}, True),
        ("10.0.0-rc.1", {}, {}, True),
    ],
)
def test_a_framework_serves_as_dotnets_roll_forward_says(  # noqa: PLR0917 - a row of the table
    task, dotnet, wanted, options, variables, runs
):
    library(task, version=wanted, **options)
    if runs:
        assert command(task, dotnet, "F::N.T::M", **variables)
        return
    code, message = refused(task, dotnet, "F::N.T::M", **variables)
    assert code == 1
    assert f"asks for Microsoft.NETCore.App {wanted}" in message
    assert "has Microsoft.NETCore.App 10.0.12" in message


def test_the_refusal_of_a_framework_names_the_runtime_that_has_it(task, dotnet):
    library(task, version="8.0.0")

    assert "Choose the runtime dotnet8" in refused(task, dotnet, "F::N.T::M")[1]


def test_desktop_frameworks_are_refused_as_windows_own(task, dotnet):
    library(task, framework="Microsoft.WindowsDesktop.App")

    assert "Windows only" in refused(task, dotnet, "F::N.T::M")[1]


def test_each_of_several_frameworks_must_be_there(task, dotnet):
    library(task)
    options = {
        "frameworks": [
            {"name": "Microsoft.NETCore.App", "version": "10.0.0"},
            {"name": "Microsoft.Other.App", "version": "10.0.0"},
        ]
    }
    (task / "F.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": options}))

    assert "has no Microsoft.Other.App" in refused(task, dotnet, "F::N.T::M")[1]


def test_a_self_contained_program_asks_for_no_framework(task, dotnet):
    library(task, "App")
    options = {"includedFrameworks": [{"name": "Microsoft.NETCore.App", "version": "11.0.0"}]}
    (task / "App.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": options}))

    assert command(task, dotnet, "App")


@given(text=st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b'{"runtimeOptions": 3}']))
def test_any_runtimeconfig_is_read_or_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    (folder / "F.deps.json").write_text("{}")
    (folder / "F.runtimeconfig.json").write_bytes(text)
    code, message = refused(folder, folder, "F::N.T::M")

    assert code == 106
    assert "F.runtimeconfig.json cannot be read" in message


@pytest.mark.parametrize(
    ("machine", "flags", "said"),
    [
        (ANY, IL_ONLY, None),
        (X64, IL_ONLY, None),
        (X64 ^ LINUX, IL_LIBRARY, None),  # ReadyToRun
        (ANY, None, None),  # .NET says what it is
        (ARM64, IL_ONLY, "arm64"),
        (ARM64 ^ LINUX, IL_LIBRARY, "arm64"),
        (ANY, IL_ONLY | X86_ONLY, "x86"),
        (X64, 0, "native code of Windows"),
    ],
)
def test_a_main_assembly_of_another_machine_is_refused(task, dotnet, machine, flags, said):
    library(task)
    (task / "F.dll").write_bytes(assembly(machine, flags))
    if said is None:
        assert command(task, dotnet, "F::N.T::M")
    else:
        assert said in refused(task, dotnet, "F::N.T::M")[1]


@given(
    content=st.binary(max_size=600)
    | st.binary(max_size=600).map(lambda tail: assembly()[:200] + tail)
)
def test_any_bytes_can_be_an_assembly(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "F.dll"
    path.write_bytes(content)
    with contextlib.suppress(start.Refused):
        start._check_assembly(str(path))


def test_our_start_up_hook_comes_before_the_functions_own(dotnet):
    ours = "/var/runtime/Thaw.Runtime.dll"
    own = start.environment({"DOTNET_STARTUP_HOOKS": "/opt/tracer.dll"}, dotnet=str(dotnet))

    assert own["DOTNET_STARTUP_HOOKS"] == f"{ours}:/opt/tracer.dll"
    assert start.environment({}, dotnet=str(dotnet)) == {
        "DOTNET_STARTUP_HOOKS": ours,
        "DOTNET_VERSION": "10.0.12",
    }


def test_a_refusal_is_posted_as_the_init_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        got = []

        def serve():
            connection, _ = server.accept()
            with connection:
                got.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        code = start.refuse(
            start.Refused(106, "no tea"), {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"}
        )
        thread.join()
    head, _, body = got[0].partition(b"\r\n\r\n")

    assert code == 106
    assert head.startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.InvalidEntrypoint" in head
    assert json.loads(body)["errorMessage"] == "no tea"


SWITCH = "System.StartupHookProvider.IsSupported"


@pytest.mark.parametrize("value", [False, "false", "False"])
@pytest.mark.parametrize("handler", ["F::F.Type::Method", "F", "F.dll"])
def test_where_start_up_hooks_are_switched_off_the_note_says_where_and_how_to_switch_them_on(
    task, dotnet, handler, value
):
    library(task, configProperties={SWITCH: value})
    note = start.unrenewed(command(task, dotnet, handler))

    assert "switched off in F.runtimeconfig.json" in note
    assert "nothing in its process is renewed" in note
    assert "<StartupHookSupport>true</StartupHookSupport>" in note


@pytest.mark.parametrize(
    "options", [{}, {"configProperties": {SWITCH: True}}, {"configProperties": 3}]
)
def test_where_they_are_on_there_is_no_note(task, dotnet, options):
    library(task, **options)

    assert not start.unrenewed(command(task, dotnet, "F::F.Type::Method"))


def test_a_program_of_native_code_is_noted_whatever_else_it_has(task, dotnet):
    (task / "F").write_bytes(b"#!/bin/sh\n")
    (task / "F").chmod(0o755)
    argv = command(task, dotnet, "F")

    assert start.unrenewed(argv) == start.NATIVE
    library(task, configProperties={SWITCH: False})
    assert "switched off in F.runtimeconfig.json" in start.unrenewed(argv)


def test_the_report_for_what_is_not_renewed_is_one_that_the_agent_reads():
    from thaw_agent import control

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        start.report_unrenewed(ours.fileno(), start.NATIVE)
        data, book = theirs.recv(1 << 17), theirs.recv(1 << 17)
    kind, flags, _ = control.split(data)
    report = control.report(flags, data[8:])

    assert kind == control.FROZEN
    assert report["notes"] == [start.NATIVE]
    assert control.split(book)[0] == control.BOOK
    assert control.book(book[8:]).entries == [control.Entry(control.OPENSSL, 0, "openssl")]
