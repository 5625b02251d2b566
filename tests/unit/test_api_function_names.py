from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thawd.api.arns import Arns
from thawd.api.errors import ApiError
from thawd.api.function_names import FunctionRef, parse

ARNS = Arns(region="us-east-1", account_id="123456789012")

names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True).filter(
    lambda name: name != "function"
)
qualifiers = st.from_regex(r"\$LATEST|[a-zA-Z0-9_-]{1,64}", fullmatch=True)


@given(
    name=names,
    qualifier=st.none() | qualifiers,
    form=st.sampled_from(
        [
            "{}",
            "function:{}",
            "123456789012:function:{}",
            "arn:aws:lambda:us-east-1:123456789012:function:{}",
        ]
    ),
    beside=st.booleans(),
)
@example(name="123456789012", qualifier=None, form="{}", beside=False)
@example(name="function", qualifier=None, form="function:{}", beside=False)
def test_every_form_gives_the_same_reference(name, qualifier, form, beside):
    text = form.format(name)
    if qualifier is not None and not beside:
        text += f":{qualifier}"

    assert parse(text, qualifier if beside else None, ARNS) == FunctionRef(name, qualifier)


@given(st.text(max_size=200), st.none() | st.text(max_size=140))
def test_any_text_is_read_or_refused(text, qualifier):
    try:
        ref = parse(text, qualifier, ARNS)
    except ApiError as error:
        assert error.status in {400, 404}  # noqa: PT017 - either way is right
    else:
        assert ref.name in text
        assert len(ref.name) <= 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "a.b",
        "a:b:c",
        "ä",
        "a\n",
        "1234:function:f",
        "arn:aws:s3:::bucket",
        "a:",
        ":a",
    ],
)
def test_what_is_no_name_is_a_validation_error(text):
    with pytest.raises(ApiError, match="at 'functionName' failed to satisfy constraint") as caught:
        parse(text, None, ARNS)

    assert caught.value.code == "ValidationException"


def test_a_name_has_at_most_64_characters():
    assert parse("x" * 64, None, ARNS).name == "x" * 64
    with pytest.raises(ApiError, match="length less than or equal to 64"):
        parse("x" * 65, None, ARNS)


def test_the_same_qualifier_twice_is_fine():
    assert parse("f:1", "1", ARNS) == FunctionRef("f", "1")


def test_two_different_qualifiers_are_refused():
    with pytest.raises(ApiError, match="derived qualifier") as caught:
        parse("f:1", "$LATEST", ARNS)

    assert caught.value.code == "InvalidParameterValueException"


@pytest.mark.parametrize("qualifier", ["", "x" * 129, "a b", "ä"])
def test_what_is_no_qualifier_is_a_validation_error(qualifier):
    with pytest.raises(ApiError, match="at 'qualifier'"):
        parse("f", qualifier, ARNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "arn:aws:lambda:eu-west-1:123456789012:function:f",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
        ("999999999999:function:f", "Function not found: 999999999999:function:f"),
    ],
)
def test_other_regions_and_accounts_have_no_functions_here(text, message):
    with pytest.raises(ApiError) as caught:
        parse(text, None, ARNS)

    assert (caught.value.status, caught.value.message) == (404, message)
