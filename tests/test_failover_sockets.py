"""The matrix of failover over real sockets: what a target can do wrong, streamed and not, and what it costs the client.

Each row is a fault of the first of two targets. Asserted are the requests that both received, what the client got, the trail, whether the target
cools, and that it took no longer than the one clock that the fault runs into.
"""

import re

import msgspec
import pytest
import trio

from pipeline.errors import (
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    PenstockError,
    PermissionDenied,
    RateLimited,
    RequestError,
    StreamCut,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from tests.support.composer_server import Cut, Late, Pause, Reply, Reset
from tests.support.failover_targets import (
    ANSWER,
    CONNECT_SECONDS,
    FIRST_EVENT_SECONDS,
    IDLE_SECONDS,
    SECRETS,
    Fault,
    Place,
    Targets,
    targets,
)
from tests.support.openai_server import chunk, event, text

MARGIN_SECONDS = 1.5
"""For a machine that has other things to do."""

WORD = text("half ")
ERROR = event(error={"message": "The engine is busy.", "type": "engine_overloaded"})
REFUSAL = event(error={"message": "No.", "type": "invalid_request_error", "code": "context_length_exceeded"})
ROLE = chunk(None, role="assistant")


class Row(msgspec.Struct, frozen=True):
    """A fault; the code that the trail has of it; how long it may take; and whether it comes when something was forwarded already."""

    fault: Fault
    code: str
    seconds: float = 0.0
    hits: int = 1
    is_late: bool = False


def http(status: int, body: bytes = b"", **headers: str) -> list[Reply]:
    return [Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})]


# what another target may do better
PASSES = {
    "F01 refused": Row(Place.REFUSED, "upstream_unavailable", hits=0),
    "F02 black hole": Row(Place.BLACK_HOLE, "upstream_timeout", CONNECT_SECONDS, hits=0),
    "F03 no such host": Row(Place.NO_SUCH_HOST, "upstream_unavailable", hits=0),
    "F05 never answers": Row([Late(30)], "upstream_first_event_timeout", FIRST_EVENT_SECONDS),
    "F06 headers, then silence": Row([Pause(30)], "upstream_first_event_timeout", FIRST_EVENT_SECONDS),
    "F06 comments, then silence": Row([b": hello\n\n", Pause(30)], "upstream_first_event_timeout", FIRST_EVENT_SECONDS),
    "F06 a role, then silence": Row([ROLE, Pause(30)], "upstream_first_event_timeout", FIRST_EVENT_SECONDS),
    "F07 stall behind content": Row([WORD, Pause(30)], "upstream_idle_timeout", IDLE_SECONDS, is_late=True),
    "F08 reset before content": Row([ROLE, Pause(0.05), Reset()], "upstream_stream_cut"),
    "F08 reset behind content": Row([WORD, Pause(0.05), Reset()], "upstream_stream_cut", is_late=True),
    "F09 cut before content": Row([ROLE, Cut()], "upstream_stream_cut"),
    "F09 cut behind content": Row([WORD, Pause(0.05), Cut()], "upstream_stream_cut", is_late=True),
    "F09 an end without an end mark": Row([WORD, Pause(0.05)], "upstream_stream_cut", is_late=True),
    "F09 an empty answer": Row([], "upstream_stream_cut"),
    "F10 500": Row(http(500), "upstream_error"),
    "F10 500 in HTML": Row(http(500, b"<html><h1>Oops</h1></html>"), "upstream_error"),
    "F10 502": Row(http(502), "upstream_error"),
    "F10 503": Row(http(503), "upstream_unavailable"),
    "F10 504": Row(http(504), "upstream_timeout"),
    "F11 429 with a short wait": Row(http(429, retry_after="0.1"), "rate_limit_exceeded"),
    "F11 429 with a long wait": Row(http(429, retry_after="86400"), "rate_limit_exceeded"),
    "F12 bare 403": Row(http(403), "permission_denied"),
    "F12 408": Row(http(408), "upstream_timeout"),
    "F12 409": Row(http(409), "upstream_unavailable"),
    "F12 425": Row(http(425), "upstream_unavailable"),
    "F13 error before content": Row([ERROR], "upstream_unavailable"),
    "F13 error behind a role": Row([ROLE, ERROR], "upstream_unavailable"),
    "F14 error behind content": Row([WORD, Pause(0.05), ERROR], "upstream_unavailable", is_late=True),
}

# what no other target would mend -> the error that is raised at once
STAYS: dict[str, tuple[Fault, type[PenstockError]]] = {
    "F04 a certificate that is not valid": (Place.BAD_CERTIFICATE, UpstreamUnusable),
    "F12 400": (http(400, b'{"error":{"message":"No."}}'), RequestError),
    "F12 401": (http(401, b'{"error":{"message":"bad key"}}'), UpstreamUnusable),
    "F12 402": (http(402), PaymentRequired),
    "F12 403 with a reason": (http(403, b'{"error":{"message":"Not in your country."}}'), PermissionDenied),
    "F12 404": (http(404), UpstreamUnusable),
    "F12 404 of a model": (http(404, b'{"error":{"message":"no","code":"model_not_found"}}'), ModelNotFound),
    "F12 redirect": (http(302, location="http://127.0.0.1:1/"), UpstreamUnusable),
    "F13 refusal in a 200": ([REFUSAL], ContextLengthExceeded),
}


async def ask(made: Targets, *, stream: bool) -> bytes:
    with trio.fail_after(10):
        return await (made.streamed() if stream else made.collected())


@pytest.mark.parametrize("row", PASSES.values(), ids=PASSES)
async def test_a_whole_answer_comes_from_the_second_target(row):
    async with targets(row.fault, ANSWER) as made:
        assert b'"content":"second"' in await ask(made, stream=False)
        assert made.outcomes == [("a", row.code), ("b", "ok")]
        assert (made.hits["a"], made.hits["b"], made.cooling) == (row.hits, 1, {"a"})
        assert row.seconds <= made.seconds < row.seconds + MARGIN_SECONDS
        assert made.trail.attempts[0].seconds == pytest.approx(row.seconds, abs=MARGIN_SECONDS)


EARLY = {name: row for name, row in PASSES.items() if not row.is_late}
LATE = {name: row for name, row in PASSES.items() if row.is_late}


@pytest.mark.parametrize("row", EARLY.values(), ids=EARLY)
async def test_a_stream_comes_from_the_second_target_while_nothing_was_forwarded(row):
    async with targets(row.fault, ANSWER) as made:
        data = await ask(made, stream=True)
        assert re.findall(rb'"content":("\w+")', data) == [b'"second"']
        assert data.endswith(b"data: [DONE]\n\n")
        assert made.outcomes == [("a", row.code), ("b", "ok")]
        assert (made.hits["a"], made.hits["b"], made.cooling) == (row.hits, 1, {"a"})
        assert row.seconds <= made.seconds < row.seconds + MARGIN_SECONDS


@pytest.mark.parametrize("row", LATE.values(), ids=LATE)
async def test_a_stream_that_was_forwarded_goes_nowhere_else_and_its_target_cools(row):
    async with targets(row.fault, ANSWER) as made:
        began = trio.current_time()
        data = await ask(made, stream=True)
        assert b'"content":"half "' in data
        assert b'"code":"%b"' % row.code.encode() in data
        assert b"[DONE]" not in data
        assert made.outcomes == [("a", "ok")]
        assert (made.hits, made.cooling) == ({"a": 1, "b": 0}, {"a"})
        assert trio.current_time() - began < row.seconds + MARGIN_SECONDS


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("fault", "error"), STAYS.values(), ids=STAYS)
async def test_what_no_other_target_would_mend_is_told_at_once(fault, error, stream):
    async with targets(fault, ANSWER) as made:
        with pytest.raises(error) as caught:
            await ask(made, stream=stream)
        assert type(caught.value) is error
        assert made.outcomes == [("a", caught.value.code)]
        assert (made.hits["b"], made.cooling) == (0, set())
        assert made.seconds < MARGIN_SECONDS


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_all_down_is_told_in_less_than_their_connect_clocks_together(stream):
    async with targets(Place.BLACK_HOLE, Place.REFUSED, Place.BLACK_HOLE) as made:
        with pytest.raises((UpstreamTimeout, UpstreamUnavailable)):
            await ask(made, stream=stream)
        assert [name for name, _ in made.outcomes] == ["a", "b", "c"]
        assert made.seconds < 2 * CONNECT_SECONDS + MARGIN_SECONDS
        assert made.cooling == {"a", "b", "c"}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_wait_that_all_ask_for_is_passed_on_and_no_key_is_told(stream):
    quoting = {name: b'{"error":{"message":"key %b is over its limit"}}' % secret.encode() for name, secret in SECRETS.items()}
    async with targets(http(429, quoting["a"], retry_after="30"), http(429, quoting["b"], retry_after="20")) as made:
        with pytest.raises(RateLimited) as caught:
            await ask(made, stream=stream)
        assert caught.value.retry_after_seconds == 20
        assert "CANARY" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.body()}"
        assert made.hits == {"a": 1, "b": 1}
        assert 19 < made.health.cooling_seconds("b") <= 20 < made.health.cooling_seconds("a") <= 30


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_the_one_with_the_shortest_wait_is_asked_once_more(stream):
    asked: list[str] = []

    def recovering(received):
        asked.append(received.path)
        return http(429, retry_after="0.2") if len(asked) == 1 else ANSWER

    async with targets(http(503, retry_after="0.6"), recovering) as made:
        with trio.fail_after(10):
            data = await (made.streamed(wait_seconds=1) if stream else made.collected(wait_seconds=1))
        assert b'"content":"second"' in data
        assert made.outcomes == [("a", "upstream_unavailable"), ("b", "rate_limit_exceeded"), ("b", "ok")]
        assert (made.hits, made.cooling) == ({"a": 1, "b": 2}, {"a"})
        assert 0.2 <= made.seconds < 0.2 + MARGIN_SECONDS


async def test_a_cut_in_the_handshake_of_all_is_one_error():
    async with targets([Reset()], [Cut()]) as made:
        with pytest.raises(StreamCut):
            await ask(made, stream=True)
        assert made.hits == {"a": 1, "b": 1}


async def test_a_client_that_leaves_while_the_second_target_is_asked_closes_it():
    async with targets(http(500), [Late(30)]) as made:
        with trio.move_on_after(0.2) as scope:
            await made.opened()
        assert scope.cancelled_caught
        assert made.outcomes == [("a", "upstream_error"), ("b", "cancelled")]
        with trio.fail_after(1):
            await made.received["b"][0].gone.wait()
