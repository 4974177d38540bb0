"""Composer's errors: every row of the table, the text for people, and what is never shown."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PenstockError, ProtocolViolation
from pipeline.wire.composer_error_text import details_text
from pipeline.wire.composer_errors import RULES, STATUSES, error_from_end_frame, error_from_http
from pipeline.wire.error_text import MAX_MESSAGE_CHARS
from pipeline.wire.protobuf import encode_fields


def end_frame(code="", name="", text="", metadata=None):
    debug = {"error": name, "details": {"title": "", "detail": text}}
    return msgspec.json.encode({"error": {"code": code, "message": "Error", "details": [{"type": "x", "debug": debug}]}, "metadata": metadata or {}})


def told(code="", name="", text="", **options):
    error = error_from_end_frame(end_frame(code, name, text), **options)
    assert error is not None
    return error.status, error.code


TABLE = [
    ("unauthenticated", "", "", 401, "invalid_api_key"),
    ("internal", "ERROR_BAD_API_KEY", "", 401, "invalid_api_key"),
    ("", "ERROR_BAD_USER_API_KEY", "", 401, "invalid_api_key"),
    ("", "ERROR_AUTH_TOKEN_EXPIRED", "", 401, "invalid_api_key"),
    ("", "AUTH_TOKEN_NOT_FOUND", "", 401, "invalid_api_key"),
    ("permission_denied", "", "", 403, "permission_denied"),
    ("resource_exhausted", "ERROR_PRO_USER_ONLY", "", 403, "permission_denied"),
    ("", "ERROR_PLAN_REQUIRED", "", 403, "permission_denied"),
    ("", "ERROR_PLANNER_BROKE", "", 502, "upstream_error"),
    ("resource_exhausted", "", "Please update Cursor to continue.", 424, "upstream_client_outdated"),
    ("resource_exhausted", "", "This version is no longer supported.", 424, "upstream_client_outdated"),
    ("resource_exhausted", "ERROR_RATE_LIMITED", "Update to the latest version.", 424, "upstream_client_outdated"),
    ("invalid_argument", "ERROR_OUTDATED_CLIENT", "", 424, "upstream_client_outdated"),
    ("resource_exhausted", "", "You've hit your usage limit. Update your plan to go on.", 429, "insufficient_quota"),
    ("resource_exhausted", "", "You have reached your limit", 429, "insufficient_quota"),
    ("resource_exhausted", "", "Switch to usage-based PRICING", 429, "insufficient_quota"),
    ("resource_exhausted", "ERROR_FREE_USER_USAGE_LIMIT", "", 429, "insufficient_quota"),
    ("resource_exhausted", "ERROR_PRO_USER_RATE_LIMIT_EXCEEDED", "usage", 429, "rate_limit_exceeded"),
    ("", "ERROR_GENERIC_RATE_LIMIT_EXCEEDED", "", 429, "rate_limit_exceeded"),
    ("", "ERROR_RATE_LIMITED_CHANGEABLE", "", 429, "rate_limit_exceeded"),
    ("resource_exhausted", "", "Rate limit reached", 429, "rate_limit_exceeded"),
    ("resource_exhausted", "", "Too many requests", 429, "rate_limit_exceeded"),
    ("", "ERROR_CONVERSATION_TOO_LONG", "", 400, "context_length_exceeded"),
    ("", "ERROR_MAX_TOKENS", "", 400, "context_length_exceeded"),
    ("", "ERROR_BAD_MODEL_NAME", "", 404, "model_not_found"),
    ("unavailable", "", "", 503, "upstream_unavailable"),
    ("internal", "ERROR_TIMEOUT", "", 504, "upstream_timeout"),
    ("deadline_exceeded", "", "", 504, "upstream_timeout"),
    ("resource_exhausted", "", "", 502, "upstream_error"),
    ("unavailable", "ERROR_UNSPECIFIED", "update your version", 503, "upstream_unavailable"),
    ("internal", "", "What a limit", 502, "upstream_error"),
    ("", "", "", 502, "upstream_error"),
]


@pytest.mark.parametrize(("code", "name", "text", "status", "told_code"), TABLE)
def test_the_table(code, name, text, status, told_code):
    assert told(code, name, text) == (status, told_code)


def test_every_row_is_used_by_the_table():
    """Taking a row out of RULES must change what some case above gives."""
    for row in RULES:
        rest = [rule for rule in RULES if rule is not row]
        cases = [(code, name.removeprefix("ERROR_"), text) for code, name, text, _, _ in TABLE]
        assert any(
            next((rule.outcome for rule in RULES if rule.holds(*case)), None) is not next((rule.outcome for rule in rest if rule.holds(*case)), None)
            for case in cases
        ), row


@pytest.mark.parametrize("name", ["", "ERROR_RESOURCE_EXHAUSTED"])
def test_a_bare_limit_depends_on_the_size_of_the_request(name):
    assert told("resource_exhausted", name, over_half_window=True) == (400, "context_length_exceeded")
    assert told("resource_exhausted", name) == (502, "upstream_error")
    assert told("resource_exhausted", name, "usage limit", over_half_window=True) == (429, "insufficient_quota")
    assert told("internal", name, over_half_window=True) == (502, "upstream_error")


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"metadata":{}}', b'{"error":null}'])
def test_a_proper_end_is_no_error(payload):
    assert error_from_end_frame(payload) is None


@pytest.mark.parametrize("payload", [b"<html>", b"[]", b"null", b'"x"', b"{", b"\xff", b"[" * 5000, b'{"error":NaN}'])
def test_an_end_that_is_no_json_object_is_a_protocol_violation(payload):
    assert isinstance(error_from_end_frame(payload), ProtocolViolation)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"code": "internal"}, "The upstream failed (internal)."),
        ({"code": "internal", "message": "Error"}, "The upstream failed (internal)."),
        ({"code": "internal", "message": "disk is full"}, "The upstream failed (internal). It says: disk is full"),
        ({"code": "not a code <b>", "message": 5, "details": 7}, "The upstream failed."),
        ("it broke", "The upstream failed. It says: it broke"),
        ([], "The upstream failed."),
        ({"code": "internal", "message": "<!DOCTYPE html><p>gone</p>"}, "The upstream failed (internal)."),
        ({"code": "unavailable", "message": "a\r\nb\x1b[31mc\u202e\u200b"}, "The upstream is not available at the moment. It says: a b [31mc"),
        (
            {"code": "internal", "message": "x", "details": [{"debug": {"details": {"title": "Oh no", "detail": "It is late."}}}]},
            "The upstream failed (internal). It says: Oh no: It is late.",
        ),
    ],
)
def test_the_message(error, message):
    told = error_from_end_frame(msgspec.json.encode({"error": error}))
    assert told is not None
    assert told.message == message


def unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


PROTOBUF = encode_fields((1, 7), (2, encode_fields((1, "Slow down"), (2, "Too many of them: über"), (3, 1))), (3, b"\xff\xfe"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (unpadded(PROTOBUF), "Slow down: Too many of them: über"),
        (base64.b64encode(PROTOBUF).decode(), "Slow down: Too many of them: über"),
        (base64.urlsafe_b64encode(encode_fields((1, "so? so> so~ ¿ÿ"))).decode(), "so? so> so~ ¿ÿ"),
        (unpadded(encode_fields((1, "once"), (2, "once"))), "once"),
        (unpadded(encode_fields((1, "123"), (2, "\x00ab"))), ""),
        (unpadded(b"\x12\x7f"), ""),
        ("not base64!", ""),
        ("a", ""),
        ("ü", ""),
        ("A" * 70_000, ""),
    ],
)
def test_strings_of_a_protobuf_detail(value, text):
    assert details_text([{"type": "x", "value": value}]) == text


def test_debug_details_come_before_the_protobuf_form():
    detail = {"value": unpadded(PROTOBUF), "debug": {"details": {"title": "Readable"}}}
    assert details_text([detail]) == "Readable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20) | st.sampled_from(["Error", "resource_exhausted", unpadded(PROTOBUF)]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "details", "debug", "value", "title", "detail", "metadata", "retry-after"]), children
        )
    ),
    max_leaves=20,
)


def sound(error: PenstockError) -> bool:
    message = error.message
    return (
        0 < len(message) <= MAX_MESSAGE_CHARS
        and all(character.isprintable() or not character.isascii() for character in message)
        and "\n" not in message
    )


@given(JSON.map(msgspec.json.encode) | st.binary(max_size=100), st.sampled_from([*STATUSES, 400, 418, 500, 502, 599]), st.text(max_size=40))
def test_anything_gives_a_sound_error(payload, status, retry_after):
    error = error_from_end_frame(payload)
    assert error is None or sound(error)
    assert sound(error_from_http(status, {"Retry-After": retry_after}, payload))


HTTP = [
    (401, b"", 401, "invalid_api_key"),
    (402, b"", 402, "payment_required"),
    (403, b"", 403, "permission_denied"),
    (404, b"<html>not here</html>", 424, "upstream_endpoint_gone"),
    (404, end_frame("not_found", "ERROR_BAD_MODEL_NAME"), 404, "model_not_found"),
    (407, b"", 424, "upstream_proxy_refused"),
    (408, b"", 504, "upstream_timeout"),
    (429, b"", 429, "rate_limit_exceeded"),
    (429, end_frame("resource_exhausted", "", "Update your client"), 424, "upstream_client_outdated"),
    (429, b'{"code":"resource_exhausted","message":"usage limit"}', 429, "insufficient_quota"),
    (429, b'{"code":"resource_exhausted","message":"Error"}', 429, "rate_limit_exceeded"),
    (464, b"", 502, "upstream_error"),
    (500, b"", 502, "upstream_error"),
    (502, b"<html>", 502, "upstream_error"),
    (503, b"", 503, "upstream_unavailable"),
    (504, b"", 504, "upstream_timeout"),
    (302, b"", 502, "upstream_error"),
]


@pytest.mark.parametrize(("status", "body", "told_status", "code"), HTTP)
def test_http_answers(status, body, told_status, code):
    error = error_from_http(status, {}, body)
    assert (error.status, error.code) == (told_status, code)
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"No such key."}}', "The upstream does not accept this key. It says: No such key."),
        (b'{"message":"No such key."}', "The upstream does not accept this key. It says: No such key."),
        (b'{"error":"No such key."}', "The upstream does not accept this key. It says: No such key."),
        (b"No such key.", "The upstream does not accept this key."),
    ],
)
def test_the_message_of_an_http_answer(body, message):
    assert error_from_http(401, {}, body).message == message


def test_a_refusal_of_the_session_says_so():
    assert "refused this account or session" in error_from_http(464, {}, b"").message
    assert error_from_http(500, {}, b"").message == "The upstream failed (HTTP 500)."


def test_retry_after_is_passed_on_where_a_retry_may_help():
    for name in ("retry-after", "Retry-After", "RETRY-AFTER"):
        assert error_from_http(429, {"x": "y", name: "17"}, b"").retry_after_seconds == 17
    assert error_from_http(503, {"retry-after": "2"}, b"").retry_after_seconds == 2
    assert error_from_http(402, {"retry-after": "17"}, b"").retry_after_seconds is None
    assert error_from_http(429, {}, b"").retry_after_seconds is None


@pytest.mark.parametrize(
    ("metadata", "seconds"), [({"Retry-After": ["9"]}, 9), ({"retry-after": "9"}, 9), ({"retry-after": []}, None), ({"x": ["9"]}, None)]
)
def test_retry_after_of_an_end_frame_is_in_its_metadata(metadata, seconds):
    error = error_from_end_frame(end_frame("", "ERROR_RATE_LIMITED", "", metadata))
    assert error is not None
    assert error.retry_after_seconds == seconds
