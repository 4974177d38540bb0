"""The token counts of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import UsageReport
from pipeline.wire.sdk_usage import FIELDS, as_report, read_counts, summed


def counts(*numbers: int) -> dict[str, int]:
    return dict(zip(FIELDS, numbers, strict=False))


@pytest.mark.parametrize(
    ("told", "report"),
    [
        (counts(90, 7), UsageReport(90, 7, estimated=False)),
        (counts(90, 7, 40, 0, 97, 3), UsageReport(90, 7, 3, 40, estimated=False)),
        # the total holds the cached ones too
        (counts(90, 7, 40, 2, 139), UsageReport(132, 7, 0, 40, estimated=False, extra={"cacheWriteTokens": 2})),
        # more were cached than were sent
        (counts(90, 7, 2000, 0, 97), UsageReport(2090, 7, 0, 2000, estimated=False)),
        (counts(90, 7, 2000), UsageReport(2090, 7, 0, 2000, estimated=False)),
        (counts(0, 7), UsageReport(0, 7, estimated=False)),
        # reasoning is a part of the output
        (counts(9, 7, 0, 0, 16, 12), UsageReport(9, 7, 7, estimated=False)),
        (counts(0, 0, 0, 0, 0, 4), None),
        ({}, None),
    ],
)
def test_whose_part_the_cached_tokens_are(told, report):
    assert as_report(told) == report


@pytest.mark.parametrize("value", ["12", 12, 12.0])
def test_a_count_is_a_text_or_a_number(value):
    assert read_counts({"inputTokens": value, "other": 3}) == {"inputTokens": 12}


@pytest.mark.parametrize("value", ["", "-1", "1e3", "٣", "9" * 17, -1, 1.5, 2**53, float("inf"), True, None, [], {}])
def test_what_is_no_count_is_left_out(value):
    assert read_counts({"inputTokens": value, "outputTokens": "3"}) == {"outputTokens": 3}


def test_turns_add_up():
    assert summed([counts(1, 2), {}, counts(10, 20, 30)]) == counts(11, 22, 30)


@given(st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 1000)))
def test_every_report_can_be_billed(told: dict[str, int]):
    report = as_report(told)
    if report is not None:
        assert 0 <= report.cached_tokens <= report.prompt_tokens
        assert 0 <= report.reasoning_tokens <= report.completion_tokens
        assert report.prompt_tokens >= told.get("inputTokens", 0)
