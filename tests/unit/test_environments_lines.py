"""The platform's log lines, byte for byte (Lambda, log format; samples from the documentation)."""

from __future__ import annotations

from thawd.environments.environment import Start
from thawd.environments.lines import end_line, report_line, start_line, timeout_line

ID = "5f2a1f4e-0000-4000-8000-000000000001"


def test_report_of_the_first_invocation_after_a_restore() -> None:
    """Billed Duration is the duration rounded up plus Billed Restore Duration: 2339 + 182."""
    start = Start(how="restore", took_ms=398.97, runtime_ms=181.3)

    line = report_line(
        ID, duration_ms=2338.66, memory_mib=3009, max_memory_bytes=173 << 20, start=start
    )

    assert line == (
        f"REPORT RequestId: {ID}\tDuration: 2338.66 ms\tBilled Duration: 2521 ms\tMemory Size: 3009 MB\t"
        "Max Memory Used: 173 MB\tRestore Duration: 398.97 ms\tBilled Restore Duration: 182 ms\t"
    )


def test_report_of_a_warm_invocation_has_neither_init_nor_restore() -> None:
    line = report_line(ID, duration_ms=1.0, memory_mib=128, max_memory_bytes=1, start=None)

    assert line == (
        f"REPORT RequestId: {ID}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 1 MB\t"
    )


def test_report_of_a_first_invocation_on_demand_has_its_init() -> None:
    start = Start(how="init", took_ms=900.0, runtime_ms=93.276)

    line = report_line(ID, duration_ms=2.5, memory_mib=128, max_memory_bytes=0, start=start)

    assert line.endswith("Max Memory Used: 0 MB\tInit Duration: 93.28 ms\t")
    assert "Billed Duration: 3 ms" in line


def test_report_of_failures_ends_with_the_status() -> None:
    line = report_line(
        ID,
        duration_ms=3.0,
        memory_mib=128,
        max_memory_bytes=0,
        start=None,
        status="error",
        error_type="Runtime.ExitError",
    )

    assert line.endswith("Max Memory Used: 0 MB\tStatus: error\tError Type: Runtime.ExitError")


def test_memory_used_is_never_more_than_the_size() -> None:
    """As in Lambda; here /tmp is memory too."""
    line = report_line(ID, duration_ms=1.0, memory_mib=256, max_memory_bytes=810 << 20, start=None)

    assert "Max Memory Used: 256 MB\t" in line


def test_start_end_and_timeout_lines() -> None:
    assert start_line(ID, "72") == f"START RequestId: {ID} Version: 72"
    assert end_line(ID) == f"END RequestId: {ID}"
    assert (
        timeout_line(ID, 1, at_s=0.5)
        == f"1970-01-01T00:00:00.500Z {ID} Task timed out after 1.00 seconds"
    )
