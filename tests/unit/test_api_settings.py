from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thawd.api.errors import ApiError
from thawd.api.settings import configured, read_settings, refuse_what_is_not_here
from thawd.api.validation import Members, Violations, read_members
from thawd.catalog.models import LATEST, ApplyOn, Code, FunctionVersion
from thawd.testing import FakeImages

CORE = SimpleNamespace(images=FakeImages(), architectures=("x86_64",))
VERSION = FunctionVersion(
    function_name="f",
    version=LATEST,
    runtime="python3.13",
    handler="app.handler",
    role="r",
    code=Code(sha256="", size=0),
)


def members(**given):
    return Members(Violations(), given)


def settings(**given):
    found = members(**given)
    result = read_settings(found, CORE)
    found.violations.check()
    return result


def test_only_what_was_given_is_set():
    assert settings(Timeout=5, Description="", Handler=None) == {"timeout_s": 5, "description": ""}


def test_nothing_given_changes_nothing():
    assert configured(VERSION, settings()) == VERSION


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"Timeout": 0}, "Value '0' at 'timeout' .* value greater than or equal to 1"),
        ({"Timeout": 901}, "at 'timeout' .* value less than or equal to 900"),
        ({"MemorySize": 127}, "at 'memorySize' .* greater than or equal to 128"),
        ({"MemorySize": 10241}, "at 'memorySize' .* less than or equal to 10240"),
        ({"EphemeralStorage": {"Size": 511}}, "at 'ephemeralStorage.size'"),
        ({"EphemeralStorage": {}}, "Value null at 'ephemeralStorage.size' .* must not be null"),
        ({"Description": "x" * 257}, "at 'description' .* length less than or equal to 256"),
        ({"Handler": "a b"}, "at 'handler' .* regular expression pattern"),
        ({"Handler": "x" * 129}, "at 'handler' .* length less than or equal to 128"),
        ({"Role": "arn:aws:iam::1:role/x"}, "at 'role' .* regular expression pattern"),
        ({"SnapStart": {"ApplyOn": "x"}}, r"at 'snapStart.applyOn' .* \[PublishedVersions, None\]"),
        ({"TracingConfig": {"Mode": "x"}}, "at 'tracingConfig.mode'"),
        ({"LoggingConfig": {"LogFormat": "XML"}}, "at 'loggingConfig.logFormat'"),
        ({"Architectures": ["mips"]}, r"Value '\[mips\]' at 'architectures'"),
        ({"Architectures": []}, "at 'architectures'"),
        ({"Environment": {"Variables": {"1A": "x"}}}, "at 'environment.variables' .* Map keys"),
        ({"Runtime": "x"}, r"Value x at 'runtime' .* \[python3.13\] or be a valid ARN"),
    ],
)
def test_limits_are_lambdas(given, constraint):
    with pytest.raises(ApiError, match=f"^1 validation error detected: .*{constraint}") as caught:
        settings(**given)

    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)


def test_all_violations_come_in_one_message():
    with pytest.raises(ApiError, match=r"^3 validation errors detected: .*; .*; ") as caught:
        settings(Timeout=0, MemorySize=1, SnapStart={"ApplyOn": "?"})

    assert caught.value.message.count("failed to satisfy constraint") == 3


@pytest.mark.parametrize(
    "given",
    [
        {"Timeout": "5"},
        {"Timeout": True},
        {"Timeout": 1.5},
        {"Description": 1},
        {"SnapStart": "On"},
        {"Environment": {"Variables": {"A1": 1}}},
        {"Architectures": [1]},
    ],
)
def test_a_wrong_type_is_no_valid_content(given):
    with pytest.raises(ApiError, match="must be") as caught:
        settings(**given)

    assert caught.value.code == "InvalidRequestContentException"


def test_text_logging_takes_the_levels_of_json_with_it():
    as_json = configured(
        VERSION, settings(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"})
    )
    as_text = configured(as_json, settings(LoggingConfig={"LogFormat": "Text"}))

    assert (as_json.application_log_level, as_text.application_log_level) == ("WARN", "")


def test_log_levels_need_json():
    with pytest.raises(ApiError, match="LogFormat JSON"):
        configured(VERSION, settings(LoggingConfig={"ApplicationLogLevel": "WARN"}))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, {"EphemeralStorage": {"Size": 513}}),
        ({"EphemeralStorage": {"Size": 513}}, {"SnapStart": {"ApplyOn": "PublishedVersions"}}),
    ],
)
def test_snapstart_and_large_storage_exclude_each_other_in_any_order(first, then):
    changed = configured(VERSION, settings(**first))

    with pytest.raises(ApiError, match="SnapStart does not support ephemeral storage"):
        configured(changed, settings(**then))


def test_snapstart_is_off_and_on():
    assert settings(SnapStart={"ApplyOn": "None"}) == {"snap_start": ApplyOn.NONE}


@pytest.mark.parametrize("size", [4096, 4097])
def test_variables_have_4_kb_as_json(size):
    value = "x" * (size - len('{"KEY":""}'))
    if size == 4096:
        assert settings(Environment={"Variables": {"KEY": value}})
    else:
        with pytest.raises(ApiError, match="exceeded the 4KB limit"):
            settings(Environment={"Variables": {"KEY": value}})


@pytest.mark.parametrize(
    "given",
    [{"Layers": ["arn"]}, {"VpcConfig": {"SubnetIds": ["subnet-1"]}}, {"PackageType": "Image"}],
)
def test_what_thawd_has_not_is_refused(given):
    with pytest.raises(ApiError, match="thawd does not support"):
        refuse_what_is_not_here(members(**given))


def test_empty_members_ask_for_nothing():
    refuse_what_is_not_here(
        members(Layers=[], VpcConfig={"SubnetIds": []}, KMSKeyArn="", PackageType="Zip")
    )


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_body_is_an_object_or_refused(body):
    try:
        assert isinstance(read_members(body), Members)
    except ApiError as error:
        assert error.message.startswith("Could not parse request body into json: ")  # noqa: PT017


def test_limits_are_those_of_the_service_model():
    """What this package repeats of Lambda's model is what the model says."""
    import gzip
    import json

    import botocore

    from thawd.api import function_names, settings

    path = Path(botocore.__file__).parent / "data/lambda/2015-03-31/service-2.json.gz"
    shapes = json.loads(gzip.decompress(path.read_bytes()))["shapes"]

    assert shapes["RoleArn"]["pattern"] == settings.ROLE_PATTERN
    assert shapes["FunctionName"]["pattern"] == function_names.NAME_PATTERN
    assert (
        shapes["NumericLatestPublishedOrAliasQualifier"]["pattern"]
        == function_names.QUALIFIER_PATTERN
    )
    assert tuple(shapes["SnapStartApplyOn"]["enum"]) == tuple(ApplyOn)
    assert tuple(shapes["ApplicationLogLevel"]["enum"]) == settings._APPLICATION_LEVELS
    assert tuple(shapes["SystemLogLevel"]["enum"]) == settings._SYSTEM_LEVELS
    assert shapes["Description"]["max"] == 256
    assert shapes["MemorySize"]["min"] == 128
    members = {
        *shapes["CreateFunctionRequest"]["members"],
        *shapes["PublishVersionRequest"]["members"],
    }
    assert settings._NOT_HERE.keys() <= members
