"""Errors without keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PenstockError, RateLimited
from pipeline.upstream.redaction import redacted

SECRET = "q7-0123456789abcdef"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"{SECRET} is no good, {SECRET}!", "[removed] is no good, [removed]!"),
        (f"no good: {SECRET[:9]}…", "no good: [removed]"),
        (f"no good: {SECRET[:9]}", "no good: [removed]"),
        (f"no good: {SECRET[:5]}", f"no good: {SECRET[:5]}"),
        ("no good", "no good"),
    ],
)
def test_a_secret_and_its_shortened_form_are_removed(message, expected):
    assert redacted(PenstockError(message), [SECRET, ""]).message == expected


def test_the_rest_of_the_error_stays():
    error = redacted(RateLimited(f"{SECRET}?", code="c", param="p", retry_after_seconds=2), [SECRET])
    assert (type(error), error.message, error.code, error.param, error.retry_after_seconds) == (RateLimited, "[removed]?", "c", "p", 2)
    same = RateLimited("?")
    assert redacted(same, [SECRET]) is same


@given(st.text(max_size=30), st.text(min_size=6, max_size=30), st.text(max_size=30))
def test_no_secret_survives(before, secret, after):
    found = redacted(PenstockError(before + secret + after), [secret]).message
    assert secret not in found.replace("[removed]", "\0")
