"""What a runtime process is given (Lambda's variables, SnapStart's differences) and how its end is worded."""

from __future__ import annotations

import json
import os
import signal

import pytest
from agent_bed import IDENTITY, KEYS, python

from thaw_agent import environment, supervisor, wire
from thaw_agent.language import Language
from thaw_agent.system import System
from thawd import runtimes

SNAP_START_ONLY = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"}
ON_DEMAND_ONLY = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
}


class Files(System):
    """A system whose files are below a directory."""

    def __init__(self, root):
        self.root = root

    def path(self, path):
        return f"{self.root}{path}"


def init(kind="snap-start", **members):
    values = {
        "function_name": "orders",
        "function_version": "7",
        "handler": "app.handler",
        "runtime": "python3.13",
        "memory_mib": 256,
        "initialization_type": kind,
        "region": "eu-central-1",
        "log_format": "JSON",
        "log_group": "/aws/lambda/orders",
        "log_stream": "2026/11/23/[7]abc",
        "clock_ns": 1,
        "credentials": KEYS,
    }
    return wire.Init(**{**values, **IDENTITY, **members})


@pytest.fixture
def variables(tmp_path):
    def make(*arguments, **members):
        message = init(*arguments, **members)
        return environment.variables(
            Files(tmp_path),
            message,
            python(),
            api="169.254.100.1:9001",
            keys="127.0.0.1:9001",
            token="t0",
        )

    return make


class TestVariables:
    @pytest.mark.parametrize("kind", ["snap-start", "on-demand"])
    def test_what_every_function_is_told(self, variables, kind):
        values = variables(kind)
        expected = {
            "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
            "_HANDLER": "app.handler",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_INITIALIZATION_TYPE": kind,
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "PWD": "/var/task",
            "TZ": ":UTC",
            "PYTHONPATH": "/var/runtime",
        }

        assert expected.items() <= values.items()

    def test_answer_d7_paths_and_locale_are_lambdas(self, variables):
        values = variables()

        assert values["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
        assert values["LD_LIBRARY_PATH"] == (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        )
        assert values["LANG"] == "en_US.UTF-8"

    def test_answer_d6_text_logs_have_no_variable_of_their_format(self, variables):
        assert "AWS_LAMBDA_LOG_FORMAT" not in variables(log_format="Text")
        assert variables(log_format="JSON")["AWS_LAMBDA_LOG_FORMAT"] == "JSON"

    def test_the_log_level_is_there_only_when_one_is_told(self, variables):
        assert "AWS_LAMBDA_LOG_LEVEL" not in variables()
        assert variables(log_level="WARN")["AWS_LAMBDA_LOG_LEVEL"] == "WARN"

    def test_snap_start_has_an_endpoint_for_credentials_and_neither_keys_nor_log_names(
        self, variables
    ):
        values = variables("snap-start")
        uri = "http://127.0.0.1:9001/2021-04-23/credentials"

        assert values["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == uri
        assert values["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "t0"
        assert not ON_DEMAND_ONLY & set(values)
        assert not [name for name in values if values[name] in KEYS.values()]

    def test_on_demand_has_keys_and_log_names_and_no_endpoint(self, variables):
        values = variables("on-demand")

        assert {name: values[name] for name in ON_DEMAND_ONLY} == {
            "AWS_ACCESS_KEY_ID": KEYS["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": KEYS["SecretAccessKey"],
            "AWS_SESSION_TOKEN": KEYS["Token"],
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[7]abc",
        }
        assert not SNAP_START_ONLY & set(values)

    @pytest.mark.parametrize("credentials", [None, {}, {"AccessKeyId": "A"}])
    def test_keys_that_the_host_did_not_send_are_absent_and_not_empty(self, variables, credentials):
        values = variables("on-demand", credentials=credentials)

        given = {"AWS_ACCESS_KEY_ID": "A"} if credentials else {}
        assert {name: values[name] for name in values if "KEY" in name or "TOKEN" in name} == given

    @pytest.mark.parametrize("kind", ["snap-start", "on-demand"])
    def test_a_function_cannot_take_a_reserved_name(self, variables, kind):
        taken = {
            *variables("snap-start"),
            *variables("on-demand"),
            *environment._ABSENT_UNLESS_SET_HERE,
        }
        free = {"PATH", "LD_LIBRARY_PATH", "LANG", "LC_CTYPE", "TZ", "PWD", "SHLVL", "PYTHONPATH"}
        free |= {name for name in taken if "XRAY" in name}
        reserved = taken - free
        values = variables(kind, environment=dict.fromkeys(reserved, "mine"))

        assert reserved >= {"AWS_REGION", "_HANDLER", "THAW_CONTROL_FD", *ON_DEMAND_ONLY}
        assert values == variables(kind)

    def test_its_own_names_and_those_lambda_leaves_to_it_win(self, variables):
        own = {"TABLE": "orders", "PATH": "/opt/x", "TZ": "Europe/Berlin", "LANG": "de_DE.UTF-8"}

        assert own.items() <= variables(environment=own).items()

    def test_layers_and_the_users_own_come_before_the_runtime(self, variables, tmp_path):
        for path in ("opt/python/lib/python3.13/site-packages", "opt/python/lib/python3.12"):
            (tmp_path / path).mkdir(parents=True)
        path = variables(environment={"PYTHONPATH": "/var/task/vendor"})["PYTHONPATH"]

        layers = "/opt/python/lib/python3.13/site-packages:/opt/python"
        assert path == f"/var/task/vendor:{layers}:/var/runtime"


class TestCommand:
    def test_it_is_the_languages_own_client(self):
        assert python().command(init()) == ["/var/lang/bin/python3.13", "/var/runtime/bootstrap.py"]

    def test_a_wrapper_gets_it_as_its_arguments(self):
        wrapped = init(environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"})

        assert python().command(wrapped) == ["/opt/wrap", *python().command(init())]

    def test_an_unknown_runtime_is_named(self):
        with pytest.raises(ValueError, match=r"no runtime nodejs24\.x"):
            python().command(init(runtime="nodejs24.x"))

    def test_a_handlers_name_may_have_braces(self):
        about = json.loads(runtimes.find("python3.13").baked())
        language = Language({**about, "command": ["/bin/run", "{handler}"]})

        assert language.command(init(handler="{runtime}.{x"))[-1] == "{runtime}.{x"


class TestAnotherLanguage:
    @pytest.fixture
    def language(self):
        return Language(
            {
                "runtime": "node24",
                "command": ["/var/lang/bin/node", "--memory={memory_mib}", "{runtime}/{handler}"],
                "environment": {
                    "path": ["/var/lang/bin"],
                    "library_path": ["/var/lang/lib"],
                    "defaults": {"NODE_RUNTIME": "{runtime}"},
                    "search": {"NODE_PATH": {"layers": ["/opt/{runtime}"], "always": ["/a", "/b"]}},
                    "log_names_under_snapstart": True,
                },
            }
        )

    @pytest.fixture
    def variables(self, tmp_path, language):
        def make(**members):
            message = init(runtime="node24", **members)
            return environment.variables(
                Files(tmp_path), message, language, api="a:1", keys="k:1", token="t"
            )

        return make

    def test_it_has_its_own_command_and_variables(self, language, variables):
        values = variables()

        assert language.command(init(runtime="node24")) == [
            "/var/lang/bin/node",
            "--memory=256",
            "node24/app.handler",
        ]
        assert values["LD_LIBRARY_PATH"].startswith("/var/lang/lib:/lib64:")
        assert values["NODE_RUNTIME"] == "node24"
        assert values["NODE_PATH"] == "/a:/b"
        assert values["AWS_LAMBDA_LOG_STREAM_NAME"] == "2026/11/23/[7]abc"
        assert "PYTHONPATH" not in values

    def test_the_functions_own_win(self, variables, tmp_path):
        (tmp_path / "opt/node24").mkdir(parents=True)
        own = {"NODE_RUNTIME": "mine", "NODE_PATH": "/mine", "PYTHONPATH": "/task"}
        values = variables(environment=own)

        assert values["NODE_RUNTIME"] == "mine"
        assert values["NODE_PATH"] == "/mine:/opt/node24:/a:/b"
        assert values["PYTHONPATH"] == "/task"


class TestExited:
    @pytest.mark.parametrize(
        ("code", "reason"), [(0, ""), (1, "exit status 1"), (64, "exit status 64"), (255, None)]
    )
    def test_an_exit_status(self, code, reason):
        gone = supervisor.exited(code << 8, max_memory_bytes=5)
        expected = f"exit status {code}" if reason is None else reason

        assert gone == wire.Exited(code=code, reason=expected, max_memory_bytes=5)

    @pytest.mark.parametrize(
        ("number", "word"),
        [
            (signal.SIGKILL, "killed"),
            (signal.SIGTERM, "terminated"),
            (signal.SIGSEGV, "segmentation fault"),
            (signal.SIGABRT, "aborted"),
            (signal.SIGTRAP, "trace/breakpoint trap"),
            (signal.SIGSYS, "bad system call"),
            (signal.SIGXCPU, "CPU time limit exceeded"),
            (signal.SIGALRM, "alarm clock"),
            (signal.SIGUSR1, "user defined signal 1"),
            (40, "signal 40"),
        ],
    )
    def test_a_signal_is_named_as_go_names_it(self, number, word):
        gone = supervisor.exited(int(number), max_memory_bytes=0)

        assert (gone.signal, gone.code, gone.reason) == (number, None, f"signal: {word}")

    def test_a_core_is_mentioned(self):
        gone = supervisor.exited(signal.SIGSEGV | 0x80, max_memory_bytes=0)

        assert gone.reason == "signal: segmentation fault (core dumped)"

    def test_a_real_process(self):
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        _, status = os.waitpid(pid, 0)

        assert supervisor.exited(status, max_memory_bytes=0).reason == "exit status 3"
