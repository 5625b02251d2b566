"""boto3 against the daemon. The client fixture holds every answer, errors too, against Lambda's service model."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
import zipfile

import pytest
from botocore.exceptions import ClientError, WaiterError


def payload(answer):
    return json.loads(answer["Payload"].read())


def refused(call, **kwargs):
    """The (code, message) that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**kwargs)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def arn(name, qualifier=None):
    whole = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    return f"{whole}:{qualifier}" if qualifier else whole


class TestFunctions:
    def test_a_created_function_shows_what_it_was_given(self, boto, name, make):
        made = make(
            name,
            Description="déjà vu",
            Timeout=7,
            MemorySize=256,
            Environment={"Variables": {"KEY": "välue"}},
            LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
            Tags={"team": "ours"},
        )
        found = boto.get_function(FunctionName=name)
        shown = found["Configuration"]

        assert made["FunctionArn"] == shown["FunctionArn"] == arn(name)
        assert shown["Description"] == "déjà vu"
        assert (shown["Timeout"], shown["MemorySize"]) == (7, 256)
        assert shown["Environment"] == {"Variables": {"KEY": "välue"}}
        assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
        assert shown["LoggingConfig"]["ApplicationLogLevel"] == "DEBUG"
        assert shown["Version"] == "$LATEST"
        assert found["Tags"] == {"team": "ours"}

    @pytest.mark.parametrize(
        "waiter",
        ["function_active_v2", "function_updated_v2", "function_active", "function_exists"],
    )
    def test_waiters_find_a_new_function_ready(self, function, wait_for, waiter):
        wait_for(waiter, FunctionName=function)

    def test_the_code_can_be_fetched_again(self, boto, function):
        location = boto.get_function(FunctionName=function)["Code"]["Location"]
        with urllib.request.urlopen(location) as answer:  # noqa: S310 - our own daemon
            fetched = answer.read()

        with zipfile.ZipFile(io.BytesIO(fetched)) as archive:
            assert b"def handler" in archive.read("app.py")

    @pytest.mark.parametrize(
        "form", ["{}", "{}:$LATEST", "000000000000:function:{}", arn("{}"), arn("{}", "$LATEST")]
    )
    def test_every_form_of_a_name_is_understood(self, boto, function, form):
        found = boto.get_function_configuration(FunctionName=form.format(function))

        assert found["FunctionName"] == function

    def test_creating_twice_is_a_conflict(self, function, make):
        with pytest.raises(ClientError, match=f"Function already exist: {function}") as caught:
            make(function)

        assert caught.value.response["Error"]["Code"] == "ResourceConflictException"

    def test_everything_wrong_is_said_at_once(self, boto):
        code, message = refused(
            boto.create_function,
            FunctionName="x",
            Runtime="cobol",
            Handler="app.handler",
            Role="nobody",
            Code={},
            Timeout=901,
            SnapStart={"ApplyOn": "invalidOption"},
        )

        assert code == "ValidationException"
        assert message.startswith("4 validation errors detected: ")
        assert (
            "Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: "
            "Member must satisfy enum value set: [PublishedVersions, None]" in message
        )
        assert (
            "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [python3.13"
            in message
        )
        assert "at 'timeout'" in message
        assert "at 'role'" in message

    def test_what_is_missing_is_named(self, boto):
        code, message = refused(boto.create_function, FunctionName="x")

        assert code == "ValidationException"
        assert (
            "Value null at 'role' failed to satisfy constraint: Member must not be null" in message
        )

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({"EphemeralStorage": {"Size": 1024}}, "SnapStart does not support ephemeral storage"),
            ({"Code": {"S3Bucket": "b", "S3Key": "k"}}, "ZipFile only"),
            ({"Code": {}}, "Please provide a source for function code."),
            ({"Code": {"ZipFile": b"not a zip"}}, "Could not unzip uploaded file"),
            ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "reserved keys"),
            ({"Environment": {"Variables": {"KEY": "x" * 4096}}}, "exceeded the 4KB limit"),
            ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, "layers"),
            ({"PackageType": "Image"}, "container images"),
            ({"Architectures": ["arm64"]}, "x86_64"),
            ({"Runtime": None}, "Runtime and Handler are mandatory"),
        ],
    )
    def test_what_cannot_be_is_refused_and_nothing_is_made(self, boto, name, make, more, expected):
        code, message = refused(make, name=name, **more)

        assert code == "InvalidParameterValueException"
        assert expected in message
        assert refused(boto.get_function, FunctionName=name)[0] == "ResourceNotFoundException"

    def test_empty_settings_as_terraform_sends_them_pass(self, name, make):
        make(name, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []}, Layers=[], KMSKeyArn="")

    def test_configuration_changes_and_the_rest_stays(self, boto, function):
        before = boto.get_function_configuration(FunctionName=function)
        changed = boto.update_function_configuration(FunctionName=function, Timeout=30)

        assert changed["Timeout"] == 30
        assert changed["Handler"] == before["Handler"]
        assert changed["RevisionId"] != before["RevisionId"]
        assert changed["LastUpdateStatus"] == "Successful"

    def test_a_stale_revision_is_refused(self, boto, function):
        revision = boto.get_function_configuration(FunctionName=function)["RevisionId"]
        boto.update_function_configuration(FunctionName=function, Timeout=30)
        code, message = refused(
            boto.update_function_configuration,
            FunctionName=function,
            Timeout=1,
            RevisionId=revision,
        )

        assert code == "PreconditionFailedException"
        assert message.startswith("The Revision Id provided does not match the latest Revision Id.")

    def test_code_changes(self, boto, function, zip_of):
        before = boto.get_function_configuration(FunctionName=function)
        source = "def handler(event, context): return 'new'"
        dry = boto.update_function_code(FunctionName=function, ZipFile=zip_of(source), DryRun=True)

        assert (
            boto.get_function_configuration(FunctionName=function)["CodeSha256"]
            == before["CodeSha256"]
        )

        after = boto.update_function_code(FunctionName=function, ZipFile=zip_of(source))

        assert dry["CodeSha256"] == after["CodeSha256"] != before["CodeSha256"]
        assert payload(boto.invoke(FunctionName=function)) == "new"

    def test_lists_page_by_page_without_states(self, boto, name, make):
        names = [f"{name[:40]}-{index}" for index in range(3)]
        for each in names:
            make(each)
        try:
            pages = list(
                boto.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
            )
            listed = [item for page in pages for item in page["Functions"]]

            assert [
                item["FunctionName"] for item in listed if item["FunctionName"] in names
            ] == names
            assert not any("State" in item for item in listed)
            assert len(pages) > 1
        finally:
            for each in names:
                boto.delete_function(FunctionName=each)

    def test_deleting_takes_every_version_along(self, boto, published):
        answer = boto.delete_function(FunctionName=published)

        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        for qualifier in ("1", "$LATEST"):
            assert refused(boto.get_function, FunctionName=published, Qualifier=qualifier) == (
                "ResourceNotFoundException",
                f"Function not found: {arn(published, qualifier)}",
            )

    def test_latest_cannot_be_deleted_alone(self, boto, function):
        assert refused(boto.delete_function, FunctionName=function, Qualifier="$LATEST") == (
            "InvalidParameterValueException",
            "$LATEST version cannot be deleted without deleting the function.",
        )

    def test_deleting_what_is_not_there(self, boto, function):
        assert refused(boto.delete_function, FunctionName="no-such") == (
            "ResourceNotFoundException",
            f"Function not found: {arn('no-such')}",
        )
        boto.delete_function(FunctionName=function, Qualifier="99")  # an absent version is no error

    def test_what_deployment_tools_poll_is_there(self, boto, function):
        boto.get_function_code_signing_config(FunctionName=function)
        boto.get_function_concurrency(FunctionName=function)
        usage = boto.get_account_settings()["AccountUsage"]

        assert usage["FunctionCount"] >= 1

    def test_tags_come_and_go(self, boto, function):
        boto.tag_resource(Resource=arn(function), Tags={"a": "1", "b": "2"})
        boto.untag_resource(Resource=arn(function), TagKeys=["a"])

        assert boto.list_tags(Resource=arn(function))["Tags"] == {"b": "2"}
        assert refused(boto.list_tags, Resource=arn(function, "1"))[1].startswith(
            "Tags on function aliases and versions are not supported."
        )


class TestVersions:
    def test_a_version_is_pending_until_its_snapshot_is_made(self, boto, function, wait_for):
        pending = boto.publish_version(FunctionName=function, Description="first")
        wait_for("published_version_active", FunctionName=function, Qualifier="1")
        active = boto.get_function(FunctionName=function, Qualifier="1")["Configuration"]

        assert (pending["State"], pending["StateReasonCode"]) == ("Pending", "Creating")
        assert "LastUpdateStatus" not in pending
        assert pending["FunctionArn"] == arn(function, "1")
        assert pending["SnapStart"]["OptimizationStatus"] == "Off"
        assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
        assert active["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
        assert active["Description"] == "first"

    def test_without_snapstart_a_version_is_active_at_once(self, boto, name, make):
        make(name, SnapStart={"ApplyOn": "None"})
        version = boto.publish_version(FunctionName=name)

        assert version["State"] == "Active"
        assert version["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}

    def test_publishing_again_without_a_change_gives_the_same(self, boto, published):
        assert boto.publish_version(FunctionName=published)["Version"] == "1"

    def test_publish_with_creation_and_with_new_code(self, boto, name, make, zip_of):
        first = make(name, Publish=True)
        second = boto.update_function_code(
            FunctionName=name, ZipFile=zip_of("def handler(e, c): return 2"), Publish=True
        )

        assert (first["Version"], first["FunctionArn"]) == ("1", arn(name))
        assert (second["Version"], second["FunctionArn"]) == ("2", arn(name, "2"))

    def test_a_failed_init_fails_the_version_and_says_why(self, boto, name, make, wait_for):
        make(name, "raise RuntimeError('no database')")
        boto.publish_version(FunctionName=name)
        with pytest.raises(WaiterError):
            wait_for("published_version_active", FunctionName=name, Qualifier="1")
        failed = boto.get_function_configuration(FunctionName=name, Qualifier="1")

        assert (failed["State"], failed["StateReasonCode"]) == ("Failed", "FunctionError")
        assert failed["StateReason"].startswith("An error occurred during function initialization.")
        assert "no database" in failed["StateReason"]

    def test_publishing_unexpected_code_is_refused(self, boto, function):
        current = boto.get_function_configuration(FunctionName=function)["CodeSha256"]

        assert refused(boto.publish_version, FunctionName=function, CodeSha256="x") == (
            "InvalidParameterValueException",
            (
                f"CodeSHA256 (x) is different from current CodeSHA256 in $LATEST ({current}). "
                "Please try again with the CodeSHA256 in $LATEST."
            ),
        )

    def test_versions_are_listed_latest_first_then_oldest(self, boto, published):
        boto.update_function_configuration(FunctionName=published, Timeout=9)
        boto.publish_version(FunctionName=published)
        pages = boto.get_paginator("list_versions_by_function").paginate(
            FunctionName=published, PaginationConfig={"PageSize": 2}
        )

        assert [v["Version"] for page in pages for v in page["Versions"]] == ["$LATEST", "1", "2"]

    def test_a_deleted_version_leaves_the_others(self, boto, published):
        boto.delete_function(FunctionName=published, Qualifier="1")
        boto.update_function_configuration(FunctionName=published, Timeout=9)

        assert boto.publish_version(FunctionName=published)["Version"] == "2"
        assert (
            refused(boto.get_function, FunctionName=f"{published}:1")[0]
            == "ResourceNotFoundException"
        )


class TestInvoke:
    def test_a_version_answers_as_itself(self, boto, published):
        answer = boto.invoke(FunctionName=f"{published}:1", Payload=b'{"n": 1}')

        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "1")
        assert "FunctionError" not in answer
        assert payload(answer) == {"event": {"n": 1}, "version": "1", "arn": arn(published, "1")}

    def test_without_a_qualifier_it_is_latest_under_its_bare_arn(self, boto, function):
        answer = boto.invoke(FunctionName=function)

        assert answer["ExecutedVersion"] == "$LATEST"
        assert payload(answer) == {"event": {}, "version": "$LATEST", "arn": arn(function)}

    def test_an_exception_is_an_answer_with_a_function_error(self, boto, function):
        answer = boto.invoke(FunctionName=function, Payload=b'{"raise": "boom"}')
        error = payload(answer)

        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert (error["errorType"], error["errorMessage"]) == ("ValueError", "boom")
        assert error["requestId"] == answer["ResponseMetadata"]["RequestId"]

    def test_tail_returns_the_end_of_the_log(self, boto, function):
        answer = boto.invoke(FunctionName=function, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()

        assert log.startswith(f"START RequestId: {answer['ResponseMetadata']['RequestId']}")
        assert "a line of the function\n" in log

    def test_a_dry_run_runs_nothing(self, boto, function):
        assert boto.invoke(FunctionName=function, InvocationType="DryRun")["StatusCode"] == 204

    def test_event_is_refused_with_a_way_out(self, boto, function):
        code, message = refused(boto.invoke, FunctionName=function, InvocationType="Event")

        assert code == "InvalidParameterValueException"
        assert "RequestResponse" in message

    @pytest.mark.parametrize("body", [b"{", b"NaN", b"\xff", b"[" * 100_000, b"{} x"])
    def test_what_is_not_json_is_refused(self, boto, function, body):
        code, message = refused(boto.invoke, FunctionName=function, Payload=body)

        assert code == "InvalidRequestContentException"
        assert message.startswith("Could not parse request body into json: ")

    def test_the_largest_event_passes_and_one_byte_more_does_not(self, boto, name, make):
        make(name, "def handler(event, context): return len(event)")
        largest = b'"' + b"x" * (6_291_456 - 2) + b'"'

        assert payload(boto.invoke(FunctionName=name, Payload=largest)) == 6_291_454
        assert refused(boto.invoke, FunctionName=name, Payload=largest + b" ")[0] == (
            "RequestTooLargeException"
        )

    def test_an_unknown_function_is_named_with_its_qualifier(self, boto):
        assert refused(boto.invoke, FunctionName="no-such") == (
            "ResourceNotFoundException",
            f"Function not found: {arn('no-such', '$LATEST')}",
        )

    def test_two_different_qualifiers_are_refused(self, boto, published):
        assert refused(boto.invoke, FunctionName=f"{published}:1", Qualifier="2") == (
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )

    def test_a_pending_version_is_not_ready(self, boto, function):
        boto.publish_version(FunctionName=function)
        code, message = refused(boto.invoke, FunctionName=function, Qualifier="1")

        assert code == "ResourceConflictException"
        assert message.endswith("The function is currently in the following state: Pending")

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({"InvocationType": "Sometimes"}, "at 'invocationType'"),
            ({"LogType": "All"}, "at 'logType'"),
            ({"Qualifier": "no spaces"}, "at 'qualifier'"),
        ],
    )
    def test_unknown_modes_are_refused(self, boto, function, more, expected):
        code, message = refused(boto.invoke, FunctionName=function, **more)

        assert code == "ValidationException"
        assert expected in message

    @pytest.mark.parametrize(
        "context", ["{", base64.b64encode(b"no json").decode(), base64.b64encode(b"[]").decode()]
    )
    def test_a_client_context_that_is_none_is_refused(self, boto, function, context):
        assert refused(boto.invoke, FunctionName=function, ClientContext=context) == (
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )
