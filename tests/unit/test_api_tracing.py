"""X-Ray's header: what a client gave is continued, and whatever it gave, the result is a header of ours."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thawd.api.tracing import trace_of

ROOT = "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520"
PARENT = "Parent=53995c3f42cd8ad8"


@pytest.mark.parametrize(
    "header",
    [
        f"{ROOT};{PARENT};Sampled=1",
        f"{ROOT};{PARENT};Sampled=0;Lineage=2:34b1c2d3:0",
        f"{ROOT};{PARENT};Sampled=1;Self=1-63441c4a-abcdef012345678912345678",
    ],
)
def test_d5_a_whole_trace_is_continued_as_it_is(header):
    assert trace_of(header) == header


def test_d5_what_a_trace_lacks_is_added():
    assert re.fullmatch(f"{ROOT};Parent=[0-9a-f]{{16}};Sampled=0", trace_of(ROOT))
    assert trace_of(f"{ROOT};{PARENT};Sampled=?") == f"{ROOT};{PARENT};Sampled=0"


@given(
    st.none() | st.text() | st.text(alphabet="RootPaen=1-;:abcdef0123456789 \r\n", max_size=2000)
)
def test_d5_a_header_without_a_root_begins_a_trace(header):
    trace = trace_of(header)

    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01](;|$)", trace)
    assert trace.isascii()
    assert trace.isprintable()
    assert trace_of(None) != trace_of(None)
