"""WebsiteErrors: what an answer that is no stream means, and that no part of a page is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PenstockError, QuotaExceeded
from pipeline.wire.website_errors import CHALLENGES, WebsiteErrors, is_page

PAGE = b"<!doctype html><html><head><title>Attention Required! canary</title></head></html>"
HTML = {"Content-Type": "text/html; charset=UTF-8"}
JSON = {"content-type": "application/json"}
FORBIDDEN = b'{"error":{"message":"Automated access is off","code":"forbidden"}}'

# status, headers, body -> the status and code that a client gets
ANSWERS = {
    "a page with 200": (200, HTML, PAGE, 424, "upstream_refused"),
    "a page without its type": (200, {}, PAGE, 424, "upstream_refused"),
    "a page with 403": (403, HTML, PAGE, 424, "upstream_refused"),
    "403 without a body": (403, {}, b"", 424, "upstream_refused"),
    "403 in JSON": (403, JSON, FORBIDDEN, 424, "upstream_refused"),
    "a page with 400": (400, HTML, PAGE, 424, "upstream_refused"),
    "a page with 401": (401, HTML, PAGE, 424, "upstream_credentials_refused"),
    "a page with 404": (404, HTML, PAGE, 424, "upstream_endpoint_gone"),
    "404 in JSON": (404, JSON, b'{"message":"nope"}', 424, "upstream_endpoint_gone"),
    "a page with 405": (405, HTML, PAGE, 424, "upstream_endpoint_gone"),
    "a page with 429": (429, {**HTML, "Retry-After": "7"}, PAGE, 429, "rate_limit_exceeded"),
    "429 in JSON": (429, {**JSON, "retry-after": "7"}, b'{"error":"slow down"}', 429, "rate_limit_exceeded"),
    "a page with 500": (500, HTML, PAGE, 502, "upstream_error"),
    "a page with 502": (502, HTML, PAGE, 502, "upstream_error"),
    "a page with 503": (503, {**HTML, "Retry-After": "7"}, PAGE, 503, "upstream_unavailable"),
    "a page with 504": (504, HTML, PAGE, 504, "upstream_timeout"),
    "a redirect": (302, {**HTML, "location": "https://a.example/login"}, PAGE, 424, "upstream_refused"),
    "a redirect without a page": (307, {"location": "https://a.example/login"}, b"", 424, "upstream_endpoint_gone"),
    "a limit in JSON under 403": (403, JSON, b'{"error":{"code":"insufficient_quota","message":"x"}}', 429, "insufficient_quota"),
    "a conversation that is too long": (400, JSON, b'{"error":"prompt is too long"}', 400, "context_length_exceeded"),
    **{
        f"a challenge in {name}": (status, {name.upper(): "challenge"}, b"", 424, "upstream_refused")
        for name, status in zip(CHALLENGES, (503, 429, 202), strict=True)
    },
}


@pytest.mark.parametrize(("status", "headers", "body", "told", "code"), ANSWERS.values(), ids=ANSWERS)
def test_what_an_answer_means(status, headers, body, told, code):
    error = WebsiteErrors().from_http(status, headers, body)
    assert (error.status, error.code) == (told, code)
    assert "canary" not in error.message
    assert error.retry_after_seconds == (7 if "7" in headers.values() or "Retry-After" in headers else None)


def test_a_refusal_says_whose_it_is_and_may_pass_elsewhere():
    error = WebsiteErrors().from_http(403, JSON, FORBIDDEN)
    assert "operator configured" in error.message
    assert "no bot checks" in error.message
    assert error.message.endswith("It says: Automated access is off")
    assert error.may_pass_elsewhere


def test_the_caller_s_own_key_is_theirs_to_mend():
    assert WebsiteErrors(callers_key=True).from_http(401, JSON, b"{}").status == 401


@pytest.mark.parametrize(
    "body", [b'{"error":"key hunter2-hunter2"}', b'{"message":"key hunter2-hunter2"}', b'{"error":{"message":"key hunter2-hunter2"}}']
)
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_no_secret_is_shown(status, body):
    message = WebsiteErrors(secrets=["hunter2-hunter2"]).from_http(status, JSON, body).message
    assert "hunter2" not in message
    assert "key [removed]" in message


@given(st.integers(200, 599), st.sampled_from([HTML, JSON, {}]), st.binary(max_size=60) | st.binary(max_size=40).map(PAGE.__add__))
def test_anything_is_an_error_in_one_clean_line(status, headers, body):
    error = WebsiteErrors().from_http(status, headers, body)
    assert isinstance(error, PenstockError)
    assert error.message.isprintable()
    assert "canary" not in error.message


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("An error occurred.", 502, "upstream_error"),
        ("Too Many Requests", 429, "rate_limit_exceeded"),
        ("the prompt is too long", 400, "context_length_exceeded"),
        ('{"error":{"message":"x","code":"insufficient_quota"}}', 429, "insufficient_quota"),
        ("model gpt-9 does not exist", 404, "model_not_found"),
        ("", 502, "upstream_error"),
        (None, 502, "upstream_error"),
        ({"message": "x", "type": "overloaded_error"}, 503, "upstream_unavailable"),
    ],
)
def test_the_error_of_a_stream(text, status, code):
    error = WebsiteErrors().from_part(text)
    assert (error.status, error.code) == (status, code)


def test_a_page_is_known_by_its_type_or_its_beginning():
    assert is_page({"content-type": "application/xhtml+xml"})
    assert is_page({}, b"\xef\xbb\xbf\n<html>")
    assert not is_page({"content-type": "text/plain"}, b"data: <p>")


@pytest.mark.parametrize(
    "value",
    [
        {"code": "insufficient_quota", "message": "Your rate limit is spent: the quota is used up"},
        '{"error":{"code":"insufficient_quota","message":"too many requests for this plan"}}',
    ],
)
def test_a_quota_stays_one_although_its_words_speak_of_a_limit(value):
    error = WebsiteErrors().from_part(value)
    assert (type(error), error.code) == (QuotaExceeded, "insufficient_quota")
