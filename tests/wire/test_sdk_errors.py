"""The errors of the SDK's bridge: every row of the tables, the text for people, and what is never shown."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PenstockError, ProtocolViolation
from pipeline.wire.error_text import MAX_MESSAGE_CHARS
from pipeline.wire.protobuf import encode_fields
from pipeline.wire.sdk_error_report import CODES
from pipeline.wire.sdk_error_table import SDK_ERRORS, STATUSES, TEXTS, WORDS
from pipeline.wire.sdk_errors import error_from_end, error_from_result, error_from_unary
from tests.support.sdk_scripts import error

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("pipeline.wire.sdk_errors.time.time", lambda: NOW)


def unary(status=500, code="", text="", sdk_code="", *, callers_key=True, secrets=(), headers=None, **details) -> PenstockError:
    body = msgspec.json.encode(error(code, text, sdk_code, **details))
    return error_from_unary(status, headers or {}, body, callers_key=callers_key, secrets=secrets)


def packed(*fields) -> PenstockError:
    """An error whose details are only there as protobuf."""
    value = base64.b64encode(encode_fields(*fields)).decode().rstrip("=")
    body = msgspec.json.encode({"code": "internal", "message": "x", "details": [{"type": "sdk.v1.SdkErrorDetails", "value": value}]})
    return error_from_unary(500, {}, body, callers_key=True)


# the name in the enum -> status and code of the client's error
ENUM = {
    "UNSPECIFIED": (502, "upstream_error"),
    "UNAUTHORIZED": (401, "invalid_api_key"),
    "API_KEY_NOT_FOUND": (401, "invalid_api_key"),
    "PLAN_REQUIRED": (403, "permission_denied"),
    "ROLE_FORBIDDEN": (403, "permission_denied"),
    "FEATURE_UNAVAILABLE": (403, "permission_denied"),
    "AGENT_NOT_FOUND": (503, "upstream_run_lost"),
    "RUN_NOT_FOUND": (503, "upstream_run_lost"),
    "VALIDATION_ERROR": (400, "invalid_request"),
    "INVALID_MODEL": (404, "model_not_found"),
    "INVALID_BRANCH_NAME": (424, "upstream_integration_missing"),
    "REPOSITORY_REQUIRED": (424, "upstream_integration_missing"),
    "REPOSITORY_ACCESS": (424, "upstream_integration_missing"),
    "PR_RESOLUTION_FAILED": (424, "upstream_integration_missing"),
    "USAGE_LIMIT_EXCEEDED": (429, "insufficient_quota"),
    "AGENT_BUSY": (503, "upstream_unavailable"),
    "AGENT_ARCHIVED": (503, "upstream_run_lost"),
    "RUN_NOT_CANCELLABLE": (502, "upstream_error"),
    "RATE_LIMIT_EXCEEDED": (429, "rate_limit_exceeded"),
    "UPSTREAM_ERROR": (502, "upstream_error"),
    "INTERNAL_ERROR": (502, "upstream_error"),
    "CLIENT_CANCELLED": (502, "run_cancelled"),
}

# Connect's code, text -> the same
CONNECT = [
    ("canceled", "", 502, "run_cancelled"),
    ("unknown", "", 502, "upstream_error"),
    ("invalid_argument", "Bad schema", 400, "invalid_request"),
    ("deadline_exceeded", "", 504, "upstream_timeout"),
    ("not_found", "Unknown agent: x", 503, "upstream_run_lost"),
    ("already_exists", "", 502, "upstream_error"),
    ("permission_denied", "", 403, "permission_denied"),
    ("resource_exhausted", "", 429, "rate_limit_exceeded"),
    ("failed_precondition", "", 502, "upstream_error"),
    ("aborted", "", 503, "upstream_unavailable"),
    ("out_of_range", "", 400, "invalid_request"),
    ("unimplemented", "", 424, "upstream_bridge_incompatible"),
    ("internal", "", 502, "upstream_error"),
    ("unavailable", "", 503, "upstream_unavailable"),
    ("data_loss", "", 502, "upstream_error"),
    ("unauthenticated", "This key is revoked", 401, "invalid_api_key"),
    ("internal", "Network request failed", 503, "upstream_unavailable"),
    ("unavailable", "connect ECONNREFUSED 1.2.3.4:443", 503, "upstream_unavailable"),
    ("resource_exhausted", "Merged run stream consumer fell behind", 502, "upstream_reader_too_slow"),
    ("resource_exhausted", "You've hit your usage limit", 429, "insufficient_quota"),
    ("internal", "Your prompt is too long", 400, "context_length_exceeded"),
    ("invalid_argument", "input exceeds the context window", 400, "context_length_exceeded"),
    ("invalid_argument", 'Model "x" is not available', 404, "model_not_found"),
    ("not_found", "Unknown model x", 404, "model_not_found"),
    ("permission_denied", "The model gpt-9 is not available to you", 403, "permission_denied"),
    ("something_new", "", 502, "upstream_error"),
]


def test_the_enum_is_whole():
    assert [row.code for row in SDK_ERRORS] == [f"SDK_ERROR_CODE_{name}" for name in CODES] == [f"SDK_ERROR_CODE_{name}" for name in ENUM]
    assert [row.number for row in SDK_ERRORS] == list(range(22))
    assert all(row.advice for row in SDK_ERRORS)


@pytest.mark.parametrize("row", SDK_ERRORS, ids=lambda row: row.code)
def test_the_rows_of_the_enum(row):
    name = row.code.removeprefix("SDK_ERROR_CODE_")
    assert (row.status, row.our_code) == ENUM[name]
    told = [
        unary(sdk_code=name, text="words"),
        error_from_end(msgspec.json.encode({"error": error("internal", "words", name)}), callers_key=True),
        error_from_result(row.code, "words", callers_key=True),
        error_from_result(name.lower(), "words", callers_key=True),
        packed((2, row.number), (3, "words")),
    ]
    assert [(each.status, each.code) for each in told if each is not None] == [ENUM[name]] * len(told)
    assert all(each is not None and "It says: words" in each.message for each in told)


@pytest.mark.parametrize(("code", "text", "status", "told_code"), CONNECT)
def test_the_codes_of_connect(code, text, status, told_code):
    told = unary(500, code, text)
    assert (told.status, told.code) == (status, told_code)
    told = error_from_result(code, text, callers_key=True)
    assert (told.status, told.code) == (status, told_code)


def test_every_row_is_tried():
    tried = {code for code, *_ in CONNECT} | {name.lower() for name in ENUM}
    in_results = {"cancelled", "bad_request", "timeout", "unknown_agent", "unknown_run", "forbidden", "rate_limited", "stream_buffer_overflow"}
    assert set(WORDS) - tried == in_results | {"integration_not_connected"}
    for row in TEXTS:
        others = [each for each in TEXTS if each is not row]
        assert any(row[0].search(text) and code in row[1] and not any(each[0].search(text) for each in others) for code, text, *_ in CONNECT)


@pytest.mark.parametrize(
    ("word", "like"),
    [
        ("cancelled", "canceled"),
        ("bad_request", "invalid_argument"),
        ("timeout", "deadline_exceeded"),
        ("unknown_agent", "not_found"),
        ("unknown_run", "not_found"),
        ("forbidden", "permission_denied"),
        ("rate_limited", "resource_exhausted"),
        ("integration_not_connected", "REPOSITORY_ACCESS"),
    ],
)
def test_other_words_of_a_result(word, like):
    assert error_from_result(word, "", callers_key=True).body() == error_from_result(like, "", callers_key=True).body()


def test_a_full_buffer_has_a_word_of_its_own():
    assert error_from_result("stream_buffer_overflow", "", callers_key=True).code == "upstream_reader_too_slow"


@pytest.mark.parametrize("status", [*STATUSES, 418, 500, 502])
def test_a_status_without_a_word(status):
    outcome = STATUSES.get(status)
    told = error_from_unary(status, {}, b"<html><h1>502", callers_key=True)
    assert "<" not in told.message
    if status == 401:
        assert told.code == "upstream_bridge_restarted"
    elif outcome is None:
        assert told.message == f"The SDK failed (HTTP {status})."
    else:
        assert type(told) is outcome.error


def test_a_method_that_the_bridge_does_not_have():
    assert error_from_unary(404, {}, b"", callers_key=True).code == "upstream_bridge_incompatible"


def test_the_bridges_own_token_says_nothing_of_the_callers_key():
    told = unary(401, "unauthenticated", "Unauthorized")
    assert (told.status, told.code) == (503, "upstream_bridge_restarted")
    assert unary(401, "unauthenticated", "Unauthorized", "UNAUTHORIZED").status == 401
    assert unary(401, "unauthenticated", "Invalid API key").status == 401


def test_an_operators_key_is_the_operators_matter():
    told = unary(401, "unauthenticated", "This key of alice@example.org is revoked", callers_key=False, requestId="req-1")
    assert (told.status, told.code) == (424, "upstream_credentials_refused")
    assert "alice" not in told.message
    assert unary(403, "permission_denied", callers_key=False).status == 403


def test_no_network_is_said_in_a_sentence():
    assert unary(500, "internal", "Network request failed").message == (
        "The bridge cannot reach Cursor: it has no network, or a proxy or a firewall is in the way. It says: Network request failed"
    )


def test_help_and_the_requests_id_stand_at_the_end():
    told = unary(
        429, "resource_exhausted", "Slow down.", "RATE_LIMIT_EXCEEDED", requestId="abc-123", helpUrl="https://cursor.com/docs?x=1", retryAfter="1.5s"
    )
    assert told.message == "The SDK limits the rate of requests. It says: Slow down. See https://cursor.com/docs?x=1 (request id abc-123)"
    assert told.retry_after_seconds == 1.5


def test_a_long_text_leaves_room_for_them():
    told = unary(500, "internal", "word " * 200, "INTERNAL_ERROR", requestId="r" * 128, helpUrl="https://cursor.com/" + "a" * 150)
    assert len(told.message) <= MAX_MESSAGE_CHARS
    assert told.message.endswith(f"… See https://cursor.com/{'a' * 150} (request id {'r' * 128})")


@pytest.mark.parametrize(
    "url", ["http://cursor.com", "https://user@cursor.com/", "https://c.example/<b>", "https://c.example/" + "x" * 300, "javascript:1"]
)
def test_an_address_that_is_none_is_left_out(url):
    assert "See" not in unary(500, "internal", "x", "INTERNAL_ERROR", helpUrl=url).message


def test_secrets_stand_nowhere():
    told = unary(
        500,
        "internal",
        "for hunter22 and key_0123456789abcdef",
        "INTERNAL_ERROR",
        secrets=["hunter22"],
        requestId="hunter22",
        helpUrl="https://cursor.com/?k=hunter22",
    )
    assert told.message == "The SDK failed. It says: for [removed] and [removed]"


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ({"retryAfter": "5s"}, {}, 5.0),
        ({"retryAfter": "0.250s"}, {}, 0.25),
        ({"retryAfter": "soon"}, {"Retry-After": "9"}, 9.0),
        ({}, {"retry-after": "9"}, 9.0),
        ({"rateLimit": {"resetEpochSeconds": str(int(NOW) + 40)}}, {}, 40.0),
        ({"rateLimit": {"resetEpochSeconds": int(NOW) - 40}}, {}, 0.0),
        ({"rateLimit": {"resetEpochSeconds": "9" * 12}}, {}, 31 * 86_400.0),
        ({"rateLimit": {"resetEpochSeconds": "9" * 30}}, {}, None),
        ({"rateLimit": {"resetEpochSeconds": True}}, {}, None),
        ({"retryAfter": "5s", "rateLimit": {"resetEpochSeconds": str(int(NOW) + 40)}}, {}, 5.0),
        ({}, {}, None),
    ],
)
def test_when_to_come_back(details, headers, seconds):
    assert unary(429, "resource_exhausted", "x", "RATE_LIMIT_EXCEEDED", headers=headers, **details).retry_after_seconds == seconds


@pytest.mark.parametrize("sdk_code", ["USAGE_LIMIT_EXCEEDED", "VALIDATION_ERROR", "UNAUTHORIZED"])
def test_an_error_that_stays_has_no_time(sdk_code):
    assert unary(429, "resource_exhausted", "x", sdk_code, retryAfter="5s").retry_after_seconds is None


@pytest.mark.parametrize("detail", [{"debug": {"sdkErrorCode": "SDK_ERROR_CODE_UNAUTHORIZED", "message": "no"}}, {"value": "EAEaAm5v"}])
def test_only_details_of_the_sdk_are_read(detail):
    def told(kind: object):
        body = {"code": "internal", "message": "x", "details": [{"type": kind, **detail}]}
        return error_from_unary(500, {}, msgspec.json.encode(body), callers_key=True)

    for kind in ("google.rpc.DebugInfo", "type.googleapis.com/google.rpc.ErrorInfo", "sdk.v1.SdkErrorDetails.Other"):
        assert told(kind).status == 502
    for own in ("sdk.v1.SdkErrorDetails", "type.googleapis.com/sdk.v1.SdkErrorDetails", "", None):
        assert told(own).status == 401


def test_details_that_are_only_protobuf():
    told = packed((1, "req-9"), (2, 18), (3, "Slow down."), (4, "https://cursor.com/h"), (6, encode_fields((1, 7), (2, 500_000_000))))
    assert told.message == "The SDK limits the rate of requests. It says: Slow down. See https://cursor.com/h (request id req-9)"
    assert told.retry_after_seconds == 7.5
    assert packed((2, 18), (7, encode_fields((1, 10), (3, int(NOW) + 3)))).retry_after_seconds == 3.0
    assert packed((2, 99)).message == "The SDK failed. It says: x"


def test_the_detail_with_a_code_comes_first():
    details = [{"debug": {"requestId": "trace"}}, {"debug": {"sdkErrorCode": "SDK_ERROR_CODE_AGENT_BUSY", "message": "Busy."}}]
    told = error_from_unary(500, {}, msgspec.json.encode({"code": "internal", "message": "x", "details": details}), callers_key=True)
    assert told.message == "The agent is busy with another run; send the request once more. It says: Busy."


def test_an_end_message():
    assert error_from_end(b"", callers_key=True) is None
    assert error_from_end(b'{"metadata":{}}', callers_key=True) is None
    assert isinstance(error_from_end(b"[]", callers_key=True), ProtocolViolation)
    told = error_from_end(b'{"error":"it broke"}', callers_key=True)
    assert told is not None
    assert told.message == "The SDK failed. It says: it broke"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.text(max_size=6)
    | st.sampled_from(["internal", "SDK_ERROR_CODE_AGENT_BUSY", "5s", "CAMSAXg"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "code",
                    "message",
                    "details",
                    "debug",
                    "value",
                    "sdkErrorCode",
                    "requestId",
                    "helpUrl",
                    "retryAfter",
                    "rateLimit",
                    "resetEpochSeconds",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.integers(400, 599), st.booleans())
def test_any_json_is_an_error(value: object, status: int, callers_key: bool):
    body = msgspec.json.encode(value)
    told = error_from_unary(status, {}, body, callers_key=callers_key)
    assert len(told.message) <= MAX_MESSAGE_CHARS
    error_from_end(body, callers_key=callers_key)


@given(st.binary(max_size=80), st.text(max_size=20), st.text(max_size=900))
def test_any_bytes_and_words_are_an_error(body: bytes, code: str, message: str):
    for told in (error_from_unary(500, {}, body, callers_key=True), error_from_result(code, message, callers_key=True)):
        assert len(told.message) <= MAX_MESSAGE_CHARS
        assert not any(character < " " or character == "\x7f" for character in told.message)
    value = base64.b64encode(body).decode()
    error_from_unary(500, {}, msgspec.json.encode({"code": "x", "details": [{"value": value}]}), callers_key=True)
