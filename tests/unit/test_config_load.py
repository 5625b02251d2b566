"""Settings: found, defaulted, checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attrs import fields, has

from thawd import config
from thawd.config import (
    Config,
    FunctionConfig,
    LimitsConfig,
    LogConfig,
    PoolConfig,
    TcpAddress,
    UnixAddress,
    from_mapping,
    load,
    parse_address,
)
from thawd.errors import ConfigError

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch, tmp_path):
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "system.toml")


@pytest.fixture
def user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


class TestDefaults:
    def test_root_gets_the_system_directories(self, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 0)

        found = load(None, {})

        assert Path("/var/lib/thawd") == found.state_directory
        assert Path("/var/lib/thawd/images") == found.images_directory
        assert Path("/run/thawd/thawd.sock") == found.socket

    @pytest.mark.usefixtures("user")
    def test_a_user_gets_xdg_directories(self):
        found = load(None, {"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/run/user/1000"})

        assert Path("/s/thawd") == found.state_directory
        assert (UnixAddress(Path("/run/user/1000/thawd/thawd.sock")),) == found.listen

    @pytest.mark.usefixtures("user")
    def test_a_user_without_xdg_gets_home_and_tmp(self):
        found = load(None, {"HOME": "/home/ada"})

        assert Path("/home/ada/.local/state/thawd") == found.state_directory
        assert Path("/tmp/thawd-1000") == found.runtime_directory

    def test_systemd_directories_come_first(self):
        """StateDirectory= may list several; the first is the daemon's."""
        found = load(
            None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/a"}
        )

        assert Path("/var/lib/a") == found.state_directory
        assert Path("/run/a/thawd.sock") == found.socket

    def test_budget_is_a_share_of_the_machine(self):
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20

        assert 0 < load(None, {}).memory_budget_mib <= max(256, machine // 2)


class TestWhichFile:
    def test_argument_before_environment_before_system(self, tmp_path):
        system = write(tmp_path / "system.toml", 'region = "system-1"')
        by_environment = write(tmp_path / "e.toml", 'region = "environment-1"')
        by_argument = write(tmp_path / "a.toml", 'region = "argument-1"')
        environ = {"THAWD_CONFIG": str(by_environment)}

        assert load(by_argument, environ).region == "argument-1"
        assert load(None, environ).region == "environment-1"
        assert load(None, {}).region == "system-1"
        system.unlink()
        assert load(None, {}).region == "us-east-1"

    @pytest.mark.parametrize("named_by", ["argument", "environment"])
    def test_a_named_file_must_exist(self, tmp_path, named_by):
        missing = tmp_path / "missing.toml"

        argument, environ = (
            (missing, {}) if named_by == "argument" else (None, {"THAWD_CONFIG": str(missing)})
        )

        with pytest.raises(ConfigError, match=r"no configuration file .*missing\.toml\. Correct"):
            load(argument, environ)


class TestValues:
    def test_every_setting_is_read(self, tmp_path):
        file = write(
            tmp_path / "thawd.toml",
            """
            state_directory = "state"
            runtime_directory = "/run/x"
            images_directory = "/images"
            listen = ["unix:/run/x/api.sock", "tcp:127.0.0.1:9001"]
            region = "eu-west-1"
            account_id = "123456789012"
            engine = "qemu-tcg"
            memory_budget_mib = 2048
            vcpus = 2
            [pool]
            ready = 2
            idle_seconds = 1.5
            max_machines = 3
            publish_concurrency = 4
            [limits]
            boot_deadline_s = 60
            restore_limit_s = 5
            log_retention_mib = 7
            [log]
            level = "debug"
            format = "json"
            [functions.hello]
            skip_fixers = ["random", "numpy"]
            """,
        )

        expected = Config(
            state_directory=tmp_path / "state",
            runtime_directory=Path("/run/x"),
            images_directory=Path("/images"),
            listen=(UnixAddress(Path("/run/x/api.sock")), TcpAddress("127.0.0.1", 9001)),
            region="eu-west-1",
            account_id="123456789012",
            engine="qemu-tcg",
            memory_budget_mib=2048,
            vcpus=2,
            pool=PoolConfig(ready=2, idle_seconds=1.5, max_machines=3, publish_concurrency=4),
            limits=LimitsConfig(boot_deadline_s=60, restore_limit_s=5, log_retention_mib=7),
            log=LogConfig(level="debug", format="json"),
            functions={"hello": FunctionConfig(skip_fixers=("random", "numpy"))},
        )
        assert expected == load(file, {})

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("regoin = 'x'", "regoin: unknown setting. Did you mean region?"),
            ("pool = 1", "pool: 1 is a whole number. Accepted: a table"),
            ("functions = []", "functions: [] is a list. Accepted: a table"),
            ("[functions]\nf = 'x'", "functions.f: 'x' is a string. Accepted: a table"),
            ("zzz = 1", "zzz: unknown setting. Accepted: state_directory, "),
            ("[pool]\nredy = 1", "pool.redy: unknown setting. Did you mean ready?"),
            ("[pool]\nready = -1", "pool.ready: -1 is too small. Accepted: 0 or more"),
            ("[pool]\nready = true", "pool.ready: True is a boolean. Accepted: a whole number"),
            (
                "[pool]\nready = 1.5",
                "pool.ready: 1.5 is a number with a fraction. Accepted: a whole",
            ),
            ("[pool]\nidle_seconds = nan", "pool.idle_seconds: nan is too small. Accepted: 0"),
            ("account_id = 5", "account_id: 5 is a whole number. Accepted: a string"),
            ("account_id = '5'", "account_id: '5' is not an account. Accepted: 12 digits"),
            ("region = 'a/b'", "region: 'a/b' is not a region"),
            ("engine = 'xen'", "engine: 'xen' is not accepted. Accepted: auto, qemu-kvm, qemu-tcg"),
            ("allow_remote = 1", "allow_remote: 1 is a whole number. Accepted: true or false"),
            ("listen = 'x'", "listen: 'x' is not a list of strings"),
            ("listen = []", "listen: is empty. Accepted: at least one address"),
            ("listen = ['x']", "listen: 'x' is not an address. Accepted: unix:/absolute/path"),
            (
                "listen = ['tcp:0.0.0.0:1']",
                "listen: tcp:0.0.0.0:1 can be reached from other machines",
            ),
            ("state_directory = 1", "state_directory: 1 is a whole number. Accepted: a path"),
            (f"runtime_directory = '/{'x' * 64}'", "Accepted: a path of at most 64 bytes"),
            (f"listen = ['unix:/{'x' * 107}']", "Accepted: a path of at most 107 bytes"),
            ("vcpus = 0", "vcpus: 0 is too small. Accepted: 1 or more"),
            (
                "[functions.f]\nskip_fixer = []",
                "functions.f.skip_fixer: unknown setting. Did you mean skip_fixers?",
            ),
            (
                "[functions.f]\nskip_fixers = '*'",
                "functions.f.skip_fixers: '*' is not a list of strings. Accepted: [",
            ),
            ("[log]\nlevel = 'loud'", "log.level: 'loud' is not accepted. Accepted: debug, info"),
        ],
    )
    def test_a_wrong_setting_is_named_with_what_is_accepted(self, tmp_path, text, complaint):
        file = write(tmp_path / "thawd.toml", text)

        with pytest.raises(ConfigError) as caught:
            load(file, {})

        assert complaint in str(caught.value)
        assert str(file) in str(caught.value)

    def test_several_mistakes_are_told_at_once(self):
        with pytest.raises(ConfigError) as caught:
            from_mapping({"regoin": "x", "pool": {"ready": "1"}}, {})

        assert "pool.ready" in str(caught.value)
        assert "regoin" in str(caught.value)

    def test_broken_toml_is_located(self, tmp_path):
        file = write(tmp_path / "thawd.toml", "a = \n")

        with pytest.raises(ConfigError, match=r"is not TOML.*line 1"):
            load(file, {})

    @pytest.mark.parametrize(
        "host", ["", "http://a.example", "a b", "a/b", "[::1]", "\u00fc.example"]
    )
    def test_hosts_are_names_or_addresses(self, host):
        with pytest.raises(ConfigError, match=r"allowed_hosts: .*is not a host\. Accepted: a name"):
            from_mapping({"allowed_hosts": [host]}, {})

    def test_remote_addresses_are_a_decision(self):
        found = from_mapping({"allow_remote": True, "listen": ["tcp:0.0.0.0:9001"]}, {})

        assert (TcpAddress("0.0.0.0", 9001),) == found.listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/x.sock", UnixAddress(Path("/run/x.sock"))),
        ("unix:/run/x.sock", UnixAddress(Path("/run/x.sock"))),
        ("tcp:127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("tcp:localhost:80", TcpAddress("127.0.0.1", 80)),
        ("tcp:[::1]:80", TcpAddress("::1", 80)),
    ],
)
def test_addresses(text, address):
    assert address == parse_address(text)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "x", "unix:x", "tcp:", "tcp:1", "tcp:example.org:1", "tcp:127.0.0.1:65536", "tcp:::1"],
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="is not an address"):
        parse_address(text)


class TestDirectories:
    def test_they_are_private(self, tmp_path):
        state = tmp_path / "a" / "state"
        config.places.private_directory(state)
        config.places.private_directory(state)

        assert state.stat().st_mode & 0o777 == 0o700

    def test_another_users_directory_is_refused(self, tmp_path, monkeypatch):
        """Somebody may have taken our name in /tmp."""
        (tmp_path / "x").mkdir()
        mine = (tmp_path / "x").stat().st_uid
        if mine == 0:
            os.chown(tmp_path / "x", 12345, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

        with pytest.raises(ConfigError, match="belongs to another user"):
            config.places.private_directory(tmp_path / "x")

    def test_a_directory_open_to_all_is_refused(self, tmp_path):
        (tmp_path / "x").mkdir()
        (tmp_path / "x").chmod(0o777)

        with pytest.raises(ConfigError, match=r"written by everyone\. Make it private: chmod 700"):
            config.places.private_directory(tmp_path / "x")

    def test_a_file_in_the_way_is_told(self, tmp_path):
        write(tmp_path / "x", "")

        with pytest.raises(ConfigError, match="cannot be created"):
            config.places.private_directory(tmp_path / "x" / "y")


def documented_rows() -> list[list[str]]:
    """Cells of the table under "Settings": name, default, meaning."""
    section = DOCUMENT.read_text().split("\n## Settings\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in section.splitlines()
        if row.startswith("| `")
    ]


def all_settings(cls: type = Config, table: str = "") -> list[str]:
    names = []
    for attribute in fields(cls):
        kind = {"pool": PoolConfig, "limits": LimitsConfig, "log": LogConfig}.get(attribute.name)
        if attribute.name == "functions":
            names += all_settings(FunctionConfig, "functions.NAME.")
        elif kind is not None and has(kind):
            names += all_settings(kind, f"{attribute.name}.")
        else:
            names.append(table + attribute.name)
    return names


def test_the_page_lists_every_setting_and_no_other():
    assert sorted(all_settings()) == sorted(name.strip("`") for name, *_ in documented_rows())


def test_the_page_gives_the_true_defaults(monkeypatch):
    """A cell that shows a literal must show the value in force."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    defaults = load(None, {})
    checked = 0
    for name, default, _ in documented_rows():
        if default.count("`") != 2 or not default.startswith("`") or not default.endswith("`"):
            continue  # described in words: it depends on the machine
        value: object = defaults
        for part in name.strip("`").split("."):
            value = getattr(value, part)
        shown = default.strip("`").strip('"')
        expected = str(value).lower() if isinstance(value, bool) else str(value)
        expected = f"{value:g}" if isinstance(value, float) else expected

        assert expected == shown, name
        checked += 1

    assert checked > 10


def test_the_pages_example_is_accepted(tmp_path):
    example = DOCUMENT.read_text().split("```toml\n")[1].split("```")[0]
    file = write(tmp_path / "thawd.toml", example)

    assert load(file, {}).pool.ready == 2
