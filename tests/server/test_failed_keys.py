"""How often an address may guess, and for how long its guesses count."""

import pytest

from pipeline.errors import AuthenticationError, RateLimited
from server import failed_keys
from server.failed_keys import MOST, SECONDS, FailedKeys

NO = AuthenticationError("no")


def test_the_count_begins_anew_behind_its_time():
    now = 0.0
    failed = FailedKeys(clock=lambda: now)
    for _ in range(MOST):
        assert failed.refused("192.0.2.1", NO) is NO
    now = SECONDS - 10
    error = failed.refused("192.0.2.1", NO)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 10
    assert failed.refused("192.0.2.2", NO) is NO
    now = SECONDS
    assert failed.refused("192.0.2.1", NO) is NO


@pytest.mark.parametrize(
    ("one", "other", "same"), [("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:0:1::1", False), (None, None, True)]
)
def test_of_ipv6_the_network_counts(one, other, same):
    failed = FailedKeys(clock=lambda: 0.0)
    for _ in range(MOST):
        failed.refused(one, NO)
    assert (failed.refused(other, NO) is not NO) is same


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(failed_keys, "MAX_ADDRESSES", 3)
    failed = FailedKeys(clock=lambda: 0.0)
    for number in range(100):
        failed.refused(f"192.0.2.{number}", NO)
    assert len(failed._counts) == 3
