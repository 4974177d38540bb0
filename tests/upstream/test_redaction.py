"""Errors without keys."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PenstockError, RateLimited
from pipeline.events import Failed
from pipeline.upstream.redaction import header_secrets, redacted
from pipeline.wire.composer import ComposerDecoder, encode_end
from pipeline.wire.composer_errors import error_from_http
from pipeline.wire.openai_errors import OpenAIErrors

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


def test_the_upstreams_own_words_hold_no_secret_either():
    error = redacted(RateLimited("?", code=SECRET, param=f"a.{SECRET.upper()}", retry_after_seconds=2), [SECRET, ""])
    assert (error.code, error.param, error.retry_after_seconds) == ("rate_limit_exceeded", None, 2)


def told(body: bytes, end: bytes, key: str) -> list[str]:
    """What each reader of errors makes of them, as an upstream passes it on."""
    last = ComposerDecoder(secrets=[key]).feed(end)[-1]
    assert isinstance(last, Failed)
    errors = [OpenAIErrors(secrets=[key]).from_http(403, {}, body), error_from_http(403, {}, body, secrets=[key]), last.error]
    return [redacted(error, [key]).message for error in errors]


KEYS = [
    "sk-proj-abcdefghijkl.REST0123456789",
    "aaaabbbb-1111-2222:REST0123456789",
    "0123456789abc:REST",
    "a/b.sk-0123456789abcdef/REST",
    "two REST words",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("said", ["Bad key {}", "Bad key {} given", "got 'Bearer {}'", "got Bearer {}, no", "{}", 'bad "{}"', "x" * 425 + " {}"])
def test_no_remnant_of_a_key_is_left_by_the_guess_and_the_cut(key, said):
    body = msgspec.json.encode({"error": {"message": said.format(key)}})
    for message in told(body, encode_end({"code": "permission_denied", "message": said.format(key)}), key):
        assert "REST" not in message
        assert "[rem" in message


@pytest.mark.parametrize("key", KEYS[:4])
def test_a_key_that_is_not_ours_is_guessed_whole(key):
    body = msgspec.json.encode({"error": {"message": f"got 'Bearer {key}'"}})
    for message in told(body, encode_end({"code": "permission_denied", "message": f"got 'Bearer {key}'"}), "another"):
        assert message.endswith("It says: got '[removed]'")


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("Bearer secret-word", "secret-word"),
        ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="),
        ("a=b; sid=secret-word; Path=/", "secret-word"),
        ("sid=secret-word", "secret-word"),
        ('Digest user="x", response="secret-word"', "secret-word"),
        ("sid=se=cret-word", "se=cret-word"),
        ("secret-word", "secret-word"),
    ],
)
def test_what_a_header_is_made_of_is_secret_too(value, secret):
    assert secret in header_secrets({"X-Any": value})
    assert secret not in redacted(PenstockError(f"bad session {secret}!"), header_secrets({"X-Any": value})).message


def test_a_scheme_and_what_is_short_are_words_like_any_other():
    assert header_secrets({"X-A": "blue", "X-B": "Bearer secret-word", "X-C": "", "X-D": " ;,"}) == ["Bearer secret-word", "secret-word"]
