"""Becomes the program that runs a .NET function: what the script `bootstrap` decides in Lambda's image.

A handler with colons is a method of a class library, which our own host runs; without, it names an executable. What
cannot run is refused before .NET starts, with cause and way out, as the function's init error.

Started by the guest agent as the function's user, in the function's folder. Imports little: a start without a snapshot
waits for it.
"""

from __future__ import annotations

import os
import socket
import sys

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Variables: TypeAlias = Mapping[str, str]

TASK = "/var/task"
DOTNET = "/var/lang/bin"
HOST = "/var/runtime/Thaw.Bootstrap.dll"
HOOK = "/var/runtime/Thaw.Runtime.dll"

# Exit codes of Lambda's script.
NO_TASK, NO_HANDLER, NOT_FOUND, NO_DEPS, NO_CONFIG = 102, 103, 104, 105, 106
CANNOT_RUN = 1

OPENSSL = b"openssl"

_NOTHING = (
    "the kernel's and OpenSSL's random numbers differ between clones, and everything that .NET drew or seeded before "
    "the snapshot repeats."
)
NATIVE = (
    "This function is an executable of native code. If it was compiled ahead of time (Native AOT), or trimmed, no code of "
    f"thawd runs in it, and nothing in its process is renewed: {_NOTHING} Publish it as a framework-dependent or "
    "self-contained program to have all of it renewed."
)
SWITCHED_OFF = (
    "Start-up hooks are switched off in {config} (System.StartupHookProvider.IsSupported is false, as trimming sets it). "
    f"No code of thawd runs in this function, and nothing in its process is renewed: {_NOTHING} Set "
    "<StartupHookSupport>true</StartupHookSupport> in the project file to have all of it renewed."
)

_ROLLS = ("disable", "latestpatch", "minor", "latestminor", "major", "latestmajor")
_WINDOWS = "Microsoft.WindowsDesktop.App"
_SHARED = {"Microsoft.NETCore.App", "Microsoft.AspNetCore.App"}

# A PE file's machine (Microsoft, PE format), as it is and as .NET marks native code for Linux in it.
_LINUX_CODE = 0x7B79
_ANY, _X64 = 0x014C, 0x8664
_MACHINES = {0x014C: "x86", 0x8664: "x64", 0x01C0: "arm", 0x01C4: "arm", 0xAA64: "arm64"}
# ECMA-335, II.25.3.3.1; the last one is of images with native code beside the other.
_IL_ONLY, _REQUIRES_32_BIT, _IL_LIBRARY = 0x1, 0x2, 0x4
_ELF_X64 = 62
_ELF_MACHINES = {3: "x86", 40: "arm", 183: "arm64", 243: "RISC-V"}


class Refused(Exception):
    """The function cannot run: the exit code, and a message with cause and way out."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def command(
    handler: str, variables: Variables, *, task: str = TASK, dotnet: str = DOTNET
) -> list[str]:
    """The program and its arguments. Raises `Refused`."""
    if not os.path.isdir(task) or not os.listdir(task):
        raise Refused(NO_TASK, "the function's package is empty: zip what `dotnet publish` writes")
    handler = handler.strip()
    if not handler:
        raise Refused(
            NO_HANDLER,
            "the function has no handler: Assembly::Namespace.Type::Method, or an assembly's name",
        )
    if ":" in handler:
        return _class_library(handler, variables, task, dotnet)
    return _executable(handler, variables, task, dotnet)


def _class_library(handler: str, variables: Variables, task: str, dotnet: str) -> list[str]:
    name = variables.get("LAMBDA_DOTNET_MAIN_ASSEMBLY") or handler.partition(":")[0]
    name = name.strip().removesuffix(".dll")
    deps = _of_assembly(name, ".deps.json", task, code=NO_DEPS)
    config = _of_assembly(
        name,
        ".runtimeconfig.json",
        task,
        code=NO_CONFIG,
        hint=" A class library gets one with <GenerateRuntimeConfigurationFiles>true</GenerateRuntimeConfigurationFiles> "
        "in its project file",
    )
    _check_frameworks(config, variables, dotnet)
    main = f"{task}/{name}.dll"
    if os.path.exists(main):
        _check_assembly(main)
    return [
        f"{dotnet}/dotnet",
        "exec",
        "--depsfile",
        deps,
        "--runtimeconfig",
        config,
        HOST,
        handler,
    ]


def _of_assembly(name: str, suffix: str, task: str, *, code: int, hint: str = "") -> str:
    """The file of this kind: the assembly's, else the only one."""
    path = f"{task}/{name}{suffix}"
    if os.path.exists(path):
        return path
    others = sorted(entry for entry in os.listdir(task) if entry.endswith(suffix))
    if len(others) == 1:
        return f"{task}/{others[0]}"
    if others:
        raise Refused(
            code,
            f"there is no {name}{suffix} in the package, but several others: {', '.join(others[:5])}. "
            "Name the main assembly in the variable LAMBDA_DOTNET_MAIN_ASSEMBLY, or publish into an empty folder",
        )
    raise Refused(
        code,
        f"there is no {name}{suffix} in the package: zip what `dotnet publish` writes, its files at the top.{hint}",
    )


def _executable(handler: str, variables: Variables, task: str, dotnet: str) -> list[str]:
    path = f"{task}/{handler}" if handler.endswith(".dll") else f"{task}/{handler}.dll"
    if os.path.exists(path):
        base = path.removesuffix(".dll")
        config = f"{base}.runtimeconfig.json"
        if os.path.exists(config):
            _check_frameworks(config, variables, dotnet)
        _check_assembly(path)
        return [f"{dotnet}/dotnet", "exec", path]
    path = f"{task}/{handler}"
    if not os.path.isfile(path):
        raise Refused(
            NOT_FOUND,
            f"there is neither {handler}.dll nor {handler} in the package. The handler of an executable is its assembly's "
            "name, that of a class library Assembly::Namespace.Type::Method",
        )
    _check_native(path)
    if not os.access(path, os.X_OK):
        raise Refused(
            NOT_FOUND,
            f"{handler} is not executable in the package: zip it with its permissions, or chmod +x it before",
        )
    return [path]


def is_native(argv: list[str]) -> bool:
    """Whether a command is the function's own executable."""
    return len(argv) == 1


def unrenewed(argv: list[str]) -> str:
    """A note for a program that thawd's start-up hook may not run in; empty for others."""
    if is_native(argv):
        config = f"{argv[0]}.runtimeconfig.json"
    elif "--runtimeconfig" in argv:
        config = argv[argv.index("--runtimeconfig") + 1]
    else:
        config = f"{argv[-1].removesuffix('.dll')}.runtimeconfig.json"
    if _switches_hooks_off(config):
        return SWITCHED_OFF.format(config=os.path.basename(config))
    return NATIVE if is_native(argv) else ""


def _switches_hooks_off(config: str) -> bool:
    import json

    try:
        with open(config, encoding="utf-8-sig") as file:
            properties = json.load(file)["runtimeOptions"]["configProperties"]
        value = properties.get("System.StartupHookProvider.IsSupported")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False  # .NET reads it as well, and says what is wrong
    return str(value).lower() == "false"


def _check_frameworks(config: str, variables: Variables, dotnet: str) -> None:
    """Refuse a program that asks for a framework which the image lacks (hostfxr would, in other words)."""
    # Only here: a native executable needs none of it.
    import json

    name = os.path.basename(config)
    try:
        with open(config, encoding="utf-8-sig") as file:
            options = json.load(file)["runtimeOptions"]
        wanted = options.get("frameworks") or (
            [options["framework"]] if "framework" in options else []
        )
        wanted = [
            (str(one["name"]), str(one.get("version", "0")), one.get("rollForward"))
            for one in wanted
        ]
        roll = variables.get("DOTNET_ROLL_FORWARD") or options.get("rollForward") or "Minor"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(NO_CONFIG, f"{name} cannot be read: {error!r}") from error
    for framework, version, own in wanted:
        if framework == _WINDOWS:
            raise Refused(
                CANNOT_RUN,
                f"{name} asks for {_WINDOWS}, which there is on Windows only: target net10.0 and not net10.0-windows",
            )
        there = _versions(framework, dotnet)
        rule = str(own or roll).lower()
        if rule not in _ROLLS:
            rule = "minor"
        if any(_serves(one, version, rule) for one in there):
            continue
        has = f"has {framework} {', '.join(there)}" if there else f"has no {framework}"
        major = version.partition(".")[0]
        raise Refused(
            CANNOT_RUN,
            f"{name} asks for {framework} {version}, and the image of this runtime {has}. Choose the runtime dotnet{major}, "
            "or build for the version of this one, or set the variable DOTNET_ROLL_FORWARD=Major",
        )


def _versions(framework: str, dotnet: str) -> list[str]:
    if framework not in _SHARED:
        return []
    try:
        return sorted(os.listdir(f"{dotnet}/shared/{framework}"))
    except OSError:
        return []


def _serves(there: str, wanted: str, rule: str) -> bool:
    """Whether a version that is there may run what asks for another (.NET's roll-forward rules)."""
    has, asked = _number(there), _number(wanted)
    if rule == "disable":
        return has == asked
    same = {"latestpatch": 2, "minor": 1, "latestminor": 1}.get(rule, 0)
    return has[:same] == asked[:same] and has >= asked


def _number(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    numbers = [int(part) if part.isdecimal() else 0 for part in parts[:3]]
    return (*numbers, *[0] * (3 - len(numbers)))


def _check_assembly(path: str) -> None:
    """Refuse a main assembly for another processor, or with native code of Windows in it."""
    machine, flags = _pe(path)
    if machine is None:
        return  # .NET will say what it is
    name = os.path.basename(path)
    for code in (machine, machine ^ _LINUX_CODE):
        other = _MACHINES.get(code)
        if code == _ANY and not (flags or 0) & _REQUIRES_32_BIT:
            other = None  # what any processor runs is marked as x86
        if other and code != _X64:
            raise Refused(
                CANNOT_RUN,
                f"{name} is made for {other} processors, and thawd's machines are x64: "
                "publish it with -r linux-x64, or for any processor",
            )
    if flags is not None and not flags & (_IL_ONLY | _IL_LIBRARY):
        raise Refused(
            CANNOT_RUN,
            f"{name} has native code of Windows in it (C++/CLI), which runs nowhere else: leave that out of the main assembly",
        )


def _pe(path: str) -> tuple[int | None, int | None]:
    """An assembly's machine and the flags of its managed part; None where there is none."""
    with open(path, "rb") as file:
        head = file.read(4096)

    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], "little")

    at = number(0x3C, 4)
    if head[:2] != b"MZ" or head[at : at + 4] != b"PE\0\0":
        return None, None
    machine, sections, optional = number(at + 4, 2), number(at + 6, 2), number(at + 20, 2)
    start = at + 24
    directories = start + (112 if number(start, 2) == 0x20B else 96)
    managed = number(directories + 14 * 8, 4)
    if not managed:
        return machine, None
    for section in range(start + optional, start + optional + 40 * sections, 40):
        address, size, offset = (
            number(section + 12, 4),
            number(section + 16, 4),
            number(section + 20, 4),
        )
        if address <= managed < address + size:
            with open(path, "rb") as file:
                file.seek(offset + managed - address + 16)
                return machine, int.from_bytes(file.read(4), "little")
    return machine, None


def _check_native(path: str) -> None:
    """Refuse an executable that this machine cannot run."""
    with open(path, "rb") as file:
        head = file.read(20)
    name = os.path.basename(path)
    if head[:2] == b"MZ":
        raise Refused(CANNOT_RUN, f"{name} is a program for Windows: publish it with -r linux-x64")
    if head[:4] == b"\x7fELF":
        machine = int.from_bytes(head[18:20], "little")
        if machine != _ELF_X64:
            other = _ELF_MACHINES.get(machine, f"other ({machine})")
            raise Refused(
                CANNOT_RUN,
                f"{name} is made for {other} processors, and thawd's machines are x64: publish it with -r linux-x64",
            )


def environment(variables: Variables, *, dotnet: str = DOTNET) -> dict[str, str]:
    """The variables of the program: our start-up hook before the function's own, and the version as Lambda's image has it."""
    own = variables.get("DOTNET_STARTUP_HOOKS")
    hooks = f"{HOOK}:{own}" if own else HOOK
    versions = _versions("Microsoft.AspNetCore.App", dotnet)
    return {
        **({"DOTNET_VERSION": versions[-1]} if versions else {}),
        **variables,
        "DOTNET_STARTUP_HOOKS": hooks,
    }


def refuse(refused: Refused, variables: Variables) -> int:
    """Post the init error, and end."""
    import json

    print(f"{refused}", file=sys.stderr, flush=True)
    body = json.dumps(
        {"errorType": "Runtime.InvalidEntrypoint", "errorMessage": str(refused), "stackTrace": []}
    ).encode()
    address = variables["AWS_LAMBDA_RUNTIME_API"]
    host, _, port = address.rpartition(":")
    head = (
        f"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {address}\r\n"
        "Content-Type: application/vnd.aws.lambda.error+json\r\n"
        "Lambda-Runtime-Function-Error-Type: Runtime.InvalidEntrypoint\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as api:
        api.sendall(head.encode() + body)
        api.recv(4096)
    return refused.code


def report_unrenewed(descriptor: int, text: str) -> None:
    """Say at freeze, in the stead of a program that may not be able to, what it does not renew (docs/runtime-protocol.md).

    A program with our start-up hook in it reports again, and the last report counts.
    """
    name, note = b"Thaw.Runtime", text.encode()

    def item(kind: int, name: bytes, detail: bytes) -> bytes:
        sizes = b"".join(len(text).to_bytes(2, "big") for text in (name, b"", detail))
        return bytes((kind, 0)) + bytes(4) + sizes + name + detail

    body = bytes(8) + item(4, name, b"") + item(3, b"", note)
    os.write(descriptor, b"\x01\x81\0\0" + len(body).to_bytes(4, "big") + body)
    # A book with no types: the agent finds OpenSSL's generators by themselves.
    book = bytes(40) + b"\x04\0" + len(OPENSSL).to_bytes(2, "big") + bytes(8) + OPENSSL
    os.write(descriptor, b"\x01\x84\0\0" + len(book).to_bytes(4, "big") + book)


def main() -> None:
    """Become the program, or refuse."""
    variables = dict(os.environ)
    try:
        argv = command(sys.argv[1] if len(sys.argv) > 1 else "", variables)
    except Refused as refused:
        sys.exit(refuse(refused, variables))
    if variables.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start" and (
        note := unrenewed(argv)
    ):
        report_unrenewed(int(variables["THAW_CONTROL_FD"]), note)
    os.execve(argv[0], argv, environment(variables))


if __name__ == "__main__":
    main()
