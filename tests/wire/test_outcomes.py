"""Retry-After, in all the forms in which it comes."""

from datetime import UTC, datetime

import pytest

from pipeline.wire.outcomes import retry_after_seconds, told_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 30 ", 30),
        ("1.5", 1.5),
        ("Fri, 02 Jan 2026 00:01:00 GMT", 60),
        ("Fri, 02 Jan 2026 00:01:00 -0000", 60),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("-1", None),
        ("inf", None),
        ("", None),
        ("9" * 400, None),
        ("Fri, 99 Foo 2026", None),
        ("Fri, 02 Jan 9999999 00:00:00 GMT", None),
        ("٣", None),
    ],
)
def test_retry_after_values(value, seconds):
    assert retry_after_seconds(value, datetime(2026, 1, 2, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"RETRY-AFTER": "3", "x": "9"}, 3),
        ({"retry-after": "3", "Retry-After-Ms": " 2500 "}, 2.5),
        ({"retry-after-ms": "0"}, 0),
        ({"retry-after-ms": "-1", "retry-after": "soon"}, None),
        ({"retry-after-ms": "9" * 400, "retry-after": "4"}, 4),
    ],
)
def test_the_finer_header_counts_first(headers, seconds):
    assert told_retry_after(headers) == seconds


def test_a_date_is_measured_from_the_clock_by_default():
    seconds = retry_after_seconds("Fri, 01 Jan 2100 00:00:00 GMT")
    assert seconds is not None
    assert abs(seconds - (datetime(2100, 1, 1, tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 60
