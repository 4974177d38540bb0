"""OpenAIErrors: the errors of every kind of server as ours, and nothing in them that should not be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    AuthenticationError,
    BodyTooLarge,
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.wire.error_text import MAX_MESSAGE_CHARS
from pipeline.wire.openai_errors import GENERAL_WORDS, STATUSES, TEXTS, WORDS, OpenAIErrors

CALLERS = OpenAIErrors(callers_key=True)
OWN = OpenAIErrors()


def body(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


HTTP = {
    "openai: bad key": (401, body(message="Incorrect", type="invalid_request_error", code="invalid_api_key"), AuthenticationError, "invalid_api_key"),
    "bare 401": (401, b"", AuthenticationError, "invalid_api_key"),
    "402": (402, body(message="Insufficient Balance", type="unknown_error", code="invalid_request_error"), PaymentRequired, "payment_required"),
    "403": (403, body(message="no"), PermissionDenied, "permission_denied"),
    "openai: no such model": (404, body(message="The model `x` does not exist", code="model_not_found"), ModelNotFound, "model_not_found"),
    "vllm: no such model": (404, b'{"object":"error","message":"The model `x` does not exist.","code":404}', ModelNotFound, "model_not_found"),
    "ollama: no such model": (404, body(message='model "x" not found, try pulling it first', type="api_error"), ModelNotFound, "model_not_found"),
    "openrouter: no such model": (400, body(message="x is not a valid model ID", code=400), ModelNotFound, "model_not_found"),
    "no such path": (404, b'{"detail":"Not Found"}', UpstreamUnusable, "upstream_endpoint_gone"),
    "407": (407, b"", UpstreamUnusable, "upstream_proxy_refused"),
    "405": (405, b"", UpstreamUnusable, "upstream_endpoint_gone"),
    "openai: too long": (
        400,
        body(message="maximum context length is 8", code="context_length_exceeded"),
        ContextLengthExceeded,
        "context_length_exceeded",
    ),
    "vllm: too long": (
        400,
        body(message="This model's maximum context length is 8 tokens.", type="BadRequestError", code=400),
        ContextLengthExceeded,
        None,
    ),
    "openai: a text too long": (
        400,
        body(message="Invalid 'messages[0].content': string too long. Expected a string with maximum length 9", code="string_above_max_length"),
        ContextLengthExceeded,
        None,
    ),
    "openai: another text too long": (
        400,
        body(message="Invalid 'prompt_cache_key': string too long. Expected a string with maximum length 64", code="string_above_max_length"),
        RequestError,
        "string_above_max_length",
    ),
    "400": (400, body(message="bad top_p", type="invalid_request_error", param="top_p", code=None), RequestError, "invalid_request_error"),
    "400 with a code": (
        400,
        body(message="no", type="invalid_request_error", code="invalid_function_parameters"),
        RequestError,
        "invalid_function_parameters",
    ),
    "fastapi: 422": (422, b'{"detail":[{"loc":["body","messages"],"msg":"field required"}]}', RequestError, None),
    "413": (413, b"<html>too large</html>", BodyTooLarge, "request_too_large"),
    "413: long": (413, body(message="maximum context length"), ContextLengthExceeded, None),
    "408": (408, b"", UpstreamTimeout, None),
    "409": (409, b"", UpstreamUnavailable, None),
    "425": (425, b"", UpstreamUnavailable, None),
    "429": (429, body(message="slow", type="requests", code="rate_limit_exceeded"), RateLimited, "rate_limit_exceeded"),
    "openai: quota": (429, body(message="quota", type="insufficient_quota", code="insufficient_quota"), QuotaExceeded, "insufficient_quota"),
    "moonshot: quota": (429, body(message="suspended", type="exceeded_current_quota_error"), QuotaExceeded, "insufficient_quota"),
    "moonshot: overloaded": (429, body(message="busy", type="engine_overloaded_error"), UpstreamUnavailable, None),
    "moonshot: rate": (429, body(message="slow", type="rate_limit_reached_error"), RateLimited, None),
    "google: a list": (429, b'[{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}]', RateLimited, None),
    "500": (500, body(message="The server had an error", type="server_error"), UpstreamError, None),
    "502": (502, b"<html>Bad Gateway</html>", UpstreamError, None),
    "503": (503, b"", UpstreamUnavailable, None),
    "504": (504, b"", UpstreamTimeout, None),
    "529": (529, body(type="overloaded_error"), UpstreamUnavailable, None),
    "anthropic: model": (404, body(message="model: claude-opus-9", type="not_found_error"), ModelNotFound, None),
    "anthropic: path": (404, body(message="Not Found", type="not_found_error"), UpstreamUnusable, "upstream_endpoint_gone"),
    "anthropic: credit": (
        400,
        body(message="Your credit balance is too low to access the Anthropic API.", type="invalid_request_error"),
        PaymentRequired,
        None,
    ),
    "anthropic: bill": (402, body(message="x", type="billing_error"), PaymentRequired, None),
    "anthropic: long": (
        400,
        body(message="prompt is too long: 200123 tokens > 200000 maximum", type="invalid_request_error"),
        ContextLengthExceeded,
        None,
    ),
    "anthropic: long with its answer": (
        400,
        body(message="input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000", type="invalid_request_error"),
        ContextLengthExceeded,
        None,
    ),
    "anthropic: large": (413, body(message="Request exceeds the maximum size", type="request_too_large"), BodyTooLarge, "request_too_large"),
    "anthropic: 500": (500, body(message="Internal server error", type="api_error"), UpstreamError, None),
    "anthropic: rate": (429, body(message="slow", type="rate_limit_error"), RateLimited, None),
    "anthropic: spend": (
        429,
        body(message="x", type="rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        QuotaExceeded,
        "insufficient_quota",
    ),
    "301": (301, b"", UpstreamUnusable, "upstream_endpoint_gone"),
    "307": (307, b"", UpstreamUnusable, "upstream_endpoint_gone"),
    "204": (204, b"", UpstreamError, None),
}


@pytest.mark.parametrize(("status", "data", "kind", "code"), HTTP.values(), ids=HTTP)
def test_http_errors(status, data, kind, code):
    error = CALLERS.from_http(status, {}, data)
    assert type(error) is kind, error
    assert error.code == (code or error.default_code)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_decides_also_in_a_stream_and_in_any_field(word):
    for field in ("code", "type", "status"):
        assert type(CALLERS.from_stream({"error": {field: word.upper(), "message": "x"}})) is WORDS[word].error
        assert type(CALLERS.from_http(418, {}, body(**{field: word}))) is WORDS[word].error


@pytest.mark.parametrize("word", GENERAL_WORDS)
def test_general_words_count_only_without_a_status(word):
    assert type(CALLERS.from_stream({"type": word})) is GENERAL_WORDS[word].error
    assert type(CALLERS.from_http(503, {}, body(type=word))) is UpstreamUnavailable


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("place", ["code", "status"])
def test_a_status_inside_a_stream_counts_as_one(status, place):
    assert type(CALLERS.from_stream({"message": "x", place: status})) is STATUSES[status].error
    assert type(CALLERS.from_stream({"error": {"message": "x", place: str(status)}})) is STATUSES[status].error


def test_texts_are_read_only_where_a_word_or_status_says_little():
    assert len(TEXTS) == 5
    assert type(CALLERS.from_stream({"message": "prompt is too long: 9 tokens"})) is ContextLengthExceeded
    assert type(CALLERS.from_http(503, {}, body(message="prompt is too long"))) is UpstreamUnavailable


@pytest.mark.parametrize("data", [b"", body(message="sk-CANARY0123456789 is wrong", code="invalid_api_key")])
def test_the_operators_refused_key_is_a_permanent_fault_and_says_nothing_of_it(data):
    error = OWN.from_http(401, {}, data)
    assert (type(error), error.status, error.code) == (UpstreamUnusable, 424, "upstream_credentials_refused")
    assert error.message == "The upstream does not accept the gateway's credentials."


@pytest.mark.parametrize(("status", "told"), [(429, 7.0), (503, 7.0), (500, 7.0), (408, 7.0), (400, None), (401, None), (403, None), (404, None)])
def test_retry_after_goes_with_what_a_retry_may_mend(status, told):
    assert CALLERS.from_http(status, {"Retry-After": "7"}, b"").retry_after_seconds == told


@pytest.mark.parametrize(
    ("headers", "told"),
    [({"Retry-After-Ms": "250"}, 0.25), ({"retry-after": "9", "retry-after-ms": "x"}, 9.0), ({"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}, 0.0)],
)
def test_retry_after_in_its_other_forms(headers, told):
    assert CALLERS.from_http(429, headers, body(type="insufficient_quota")).retry_after_seconds == told


# whether another target may be asked: of every status without a body, and of what a body makes otherwise of it
BARE = {
    **dict.fromkeys([204, 301, 307, 400, 401, 402, 404, 405, 407, 410, 413, 415, 418, 422, 424, 451], False),
    **dict.fromkeys([403, 408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 524, 529], True),
    204: True,  # no answer and no refusal
}
SAID = {
    "403 with a reason": (403, body(message="not in your country"), False),
    "403 with a word": (403, body(code="permission_denied"), False),
    "403 with a text": (403, b'{"detail": "Forbidden for this key"}', False),
    "403 with a page": (403, b"<html><h1>Attention Required!</h1></html>", True),
    "403 with a page in JSON": (403, body(message="<html>blocked</html>"), True),
    "403 with an empty object": (403, b'{"error": {}}', True),
    "quota": (429, body(code="insufficient_quota"), True),
    "overloaded, under a 400": (400, body(type="overloaded_error"), True),
    "no such model, under a 503": (503, body(code="model_not_found"), True),
    "a key, under a 500": (500, body(code="invalid_api_key"), True),
    "too long, under a 500": (500, body(code="context_length_exceeded"), False),
    "too long": (400, body(message="maximum context length is 8"), False),
    "no such model": (404, body(code="model_not_found"), False),
    "unpaid": (402, body(message="Insufficient Balance"), False),
    "a refused request, under a 500": (500, body(type="invalid_request_error"), False),
}


@pytest.mark.parametrize("status", BARE)
@pytest.mark.parametrize("errors", [CALLERS, OWN], ids=["the caller's key", "our key"])
def test_a_status_decides_whether_another_target_is_asked(errors, status):
    assert errors.from_http(status, {}, b"").may_pass_elsewhere is BARE[status]


def test_no_status_of_the_table_is_left_out():
    assert STATUSES.keys() <= BARE.keys()


@pytest.mark.parametrize(("status", "data", "passes"), SAID.values(), ids=SAID)
def test_a_body_may_decide_otherwise(status, data, passes):
    assert CALLERS.from_http(status, {}, data).may_pass_elsewhere is passes


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ({"error": {"code": 503}}, True),
        ({"error": {"code": "429", "message": "slow"}}, True),
        ({"error": "the model is loading"}, True),
        ({"error": {"code": 400, "message": "no"}}, False),
        ({"error": {"code": 403, "message": "no"}}, False),
        ({"error": {"type": "invalid_request_error"}}, False),
        ({"error": {"code": "model_not_found"}}, False),
        ({"error": {"code": "insufficient_quota"}}, True),
    ],
)
def test_an_error_in_a_stream_decides_likewise(value, passes):
    assert OWN.from_stream(value).may_pass_elsewhere is passes


def test_the_field_that_is_wrong_is_named():
    assert CALLERS.from_http(400, {}, body(message="x", param="messages[0].content")).param == "messages[0].content"
    assert CALLERS.from_http(400, {}, body(message="x", param="<b> " * 99)).param is None


def test_words_of_the_upstream_are_shown_cleaned():
    error = CALLERS.from_http(400, {}, body(message="no\x00\n sk-0123456789abcdef " + "x" * 2000))
    assert error.message.startswith("The upstream refused the request. It says: no [removed] xxx")
    assert len(error.message) <= MAX_MESSAGE_CHARS
    assert CALLERS.from_http(502, {}, b"<html><h1>nginx</h1>").message == "The upstream failed (HTTP 502)."
    assert "<" not in CALLERS.from_http(400, {}, body(message="<html><h1>nginx</h1>")).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "detail", "errors", "message", "code", "type", "status", "param", "msg"]), inner, max_size=4)
    ),
)


@given(st.integers(100, 999), st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()), JSON)
def test_nothing_raises(status, data, value):
    assert OWN.from_http(status, {"retry-after": "x"}, data).status >= 400
    assert OWN.from_stream(value).message
