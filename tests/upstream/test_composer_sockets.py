"""Composer over real sockets: hosts and what each is told, one exchange for many, cuts, and a client that goes away."""

import random
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from pipeline.clocks import Timeouts
from pipeline.events import Failed, Finish, TextDelta, UpstreamEvent
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.identity import FROZEN_TIME, Identity
from pipeline.upstream.composer import ComposerUpstream
from pipeline.upstream.composer_account import EXCHANGE_PATH, IDENTITY_PATH
from pipeline.upstream.http import END_SECONDS
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_native_call, encode_text, encode_thinking
from tests.support.composer_backend import (
    ASK,
    KEY,
    TOKEN,
    batches_of,
    composer,
    composer_backend,
    events_of,
    exchanged,
    failure_of,
    json_reply,
    jwt,
    said,
    socket_client,
    to,
)
from tests.support.composer_server import ENDPOINT, ComposerServer, Cut, Late, Pause, Received, Reply, Reset, Step
from tests.support.splits import cut, random_edges
from tests.support.tls import CERTIFICATE
from tests.support.tls import KEY as TLS_KEY

STREAM = encode_thinking("hm") + encode_text("naïve") + encode_text("x" * 200, compress=True) + encode_native_call("c1", "read", "{}") + encode_end()
IN_SESSION = msgspec.structs.replace(ASK, conversation="session")
FOR_EVER = 60.0


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that a socket brings about."""
    with trio.fail_after(2):
        while not holds():  # noqa: ASYNC110  # there is no event for it
            await trio.sleep(0.005)


async def test_a_whole_answer():
    async with composer_backend([STREAM]) as server, socket_client() as client:
        events = await events_of(composer(client, server.origin))
        assert said(events) == ("hm", "naïve" + "x" * 200)
        assert isinstance(events[-1], Finish)
        assert [received.path for received in server.requests] == [EXCHANGE_PATH, ENDPOINT]


async def test_through_the_flow():
    async with composer_backend([encode_text("Hello") + encode_end()]) as server, socket_client() as client:
        terms = Terms(identity=Identity.frozen())
        body, _ = await collect(Exchange(ASK, composer(client, server.origin), terms, key=KEY))
        assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "Hello"


# -- who is told what ----------------------------------------------------------------------------------------------------------------------------


def headers_of(server: ComposerServer) -> str:
    return repr([(received.path, received.headers, received.body) for received in server.requests])


async def test_no_host_sees_what_is_not_for_it():
    """Three hosts: the public API, the backend, and the chat endpoint."""
    async with AsyncExitStack() as stack:
        api, backend, chat = [await stack.enter_async_context(composer_backend([STREAM])) for _ in range(3)]
        client = await stack.enter_async_context(socket_client())
        upstream = composer(
            client, backend.origin, api_base=api.origin, endpoint=chat.url, headers={"x-literal": "CANARY-LITERAL"}, client_version="CANARY-VERSION"
        )
        for _ in range(2):
            assert isinstance((await events_of(upstream, IN_SESSION))[-1], Finish)
    assert [received.path for received in api.requests] == [IDENTITY_PATH]
    assert [received.path for received in backend.requests] == [EXCHANGE_PATH]
    assert [received.path for received in chat.requests] == [ENDPOINT, ENDPOINT]
    for server in (api, backend):
        assert KEY in headers_of(server)
        assert TOKEN not in headers_of(server)
        assert "CANARY-LITERAL" not in headers_of(server)
        assert "CANARY-VERSION" not in headers_of(server)
    assert KEY not in headers_of(chat)
    assert chat.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert chat.requests[0].headers["x-literal"] == "CANARY-LITERAL"


@pytest.mark.parametrize("path", [EXCHANGE_PATH, IDENTITY_PATH, ENDPOINT])
async def test_no_redirect_is_followed(path):
    async with composer_backend([STREAM]) as elsewhere, socket_client() as client:
        moved = [Reply(307, b"", {"location": elsewhere.origin + path})]
        scripts: dict[str, Any] = {"script": [STREAM], "exchange": [exchanged()], "me": [json_reply(200, {"userId": 7})]}
        scripts[{EXCHANGE_PATH: "exchange", IDENTITY_PATH: "me", ENDPOINT: "script"}[path]] = moved
        async with composer_backend(**scripts) as server:
            events = await events_of(composer(client, server.origin), IN_SESSION)
        assert elsewhere.requests == []
    if path == IDENTITY_PATH:
        assert isinstance(events[-1], Finish)
    else:
        assert failure_of(events) == (424, "upstream_endpoint_gone")


async def test_no_cookie_goes_from_one_request_to_the_next():
    async with socket_client() as client:
        exchange = [json_reply(200, {"accessToken": TOKEN}, **{"set-cookie": "session=CANARY; Path=/"})]
        async with composer_backend([STREAM], exchange=exchange) as server:
            await events_of(composer(client, server.origin))
    assert [received.path for received in server.requests] == [EXCHANGE_PATH, ENDPOINT]
    assert "CANARY" not in headers_of(server).replace("CANARY-", "")


# -- one exchange --------------------------------------------------------------------------------------------------------------------------------


async def ask_together(upstream: ComposerUpstream, count: int) -> list[list[UpstreamEvent]]:
    found: list[list[UpstreamEvent]] = []

    async def ask() -> None:
        found.append(await events_of(upstream))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ask)
    return found


async def test_a_hundred_requests_of_one_key_are_one_exchange():
    async with composer_backend([STREAM], exchange=[Late(0.1), exchanged()]) as server, socket_client() as client:
        found = await ask_together(composer(client, server.origin), 100)
    assert all(isinstance(events[-1], Finish) for events in found)
    assert (len(found), len(to(server, EXCHANGE_PATH)), len(to(server, ENDPOINT))) == (100, 1, 100)


async def test_a_hundred_requests_share_a_failure_and_the_next_one_asks_again():
    count = 0

    def exchange(_: Received) -> list[Step]:
        nonlocal count
        count += 1
        return [Late(0.1), Reply(503) if count == 1 else exchanged()]

    async with composer_backend([STREAM], exchange=exchange) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        found = await ask_together(upstream, 100)
        assert {failure_of(events) for events in found} == {(503, "upstream_unavailable")}
        assert count == 1
        assert isinstance((await events_of(upstream))[-1], Finish)
    assert len(to(server, ENDPOINT)) == 1


async def test_the_first_to_wait_may_leave():
    count = 0

    def exchange(_: Received) -> list[Step]:
        nonlocal count
        count += 1
        return [Late(FOR_EVER), exchanged()] if count == 1 else [exchanged()]

    async with composer_backend([STREAM], exchange=exchange) as server, socket_client() as client, trio.open_nursery() as nursery:
        upstream = composer(client, server.origin)
        found: list[UpstreamEvent] = []
        first = trio.CancelScope()

        async def lead() -> None:
            with first:
                await events_of(upstream)

        async def follow() -> None:
            found.extend((await events_of(upstream))[-1:])

        nursery.start_soon(lead)
        await until(lambda: bool(server.requests))
        for _ in range(9):
            nursery.start_soon(follow)
        await trio.sleep(0.05)
        first.cancel()
        with trio.fail_after(1):
            await server.requests[0].gone.wait()
            await until(lambda: len(found) == 9)
    assert all(isinstance(event, Finish) for event in found)
    assert len(to(server, EXCHANGE_PATH)) == 2


async def test_an_expired_token_is_exchanged_again():
    now = FROZEN_TIME
    identity = Identity(clock=lambda: now)
    async with composer_backend([STREAM], exchange=[exchanged(jwt(FROZEN_TIME + 600))]) as server, socket_client() as client:
        upstream = composer(client, server.origin, identity=identity)
        for seconds in (0, 539, 2):
            now += seconds
            await events_of(upstream)
    assert [received.path for received in server.requests] == [EXCHANGE_PATH, ENDPOINT, ENDPOINT, EXCHANGE_PATH, ENDPOINT]


async def test_a_token_that_was_withdrawn_is_dropped():
    valid = ""

    def exchange(_: Received) -> list[Step]:
        nonlocal valid
        valid = jwt(FROZEN_TIME + 3600, f"{len(to(server, EXCHANGE_PATH))}")
        return [exchanged(valid)]

    def chat(received: Received) -> list[Step]:
        return [STREAM] if received.headers["authorization"] == f"Bearer {valid}" else [json_reply(401, {"message": "expired"})]

    async with composer_backend(chat, exchange=exchange) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        await events_of(upstream)
        valid = "withdrawn"
        assert isinstance((await events_of(upstream))[-1], Finish)
    assert len(to(server, EXCHANGE_PATH)) == 2


# -- cuts ----------------------------------------------------------------------------------------------------------------------------------------


async def test_any_split_gives_the_same_events():
    reads: list[bytes] = []
    async with composer_backend(lambda _: list(reads)) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        reads = [STREAM]
        expected = await events_of(upstream)
        for seed in range(25):
            reads = cut(STREAM, random_edges(len(STREAM), seed))
            assert await events_of(upstream) == expected


@pytest.mark.parametrize("ending", [Cut(), Reset(), None], ids=["closed", "reset", "proper end of the body"])
async def test_a_cut_anywhere_is_the_same_up_to_there_and_then_failed(ending):
    """With a reset, the kernel may throw away what it had already received."""
    steps: list[Step] = [STREAM]

    async with composer_backend(lambda _: list(steps)) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        assert isinstance((await events_of(upstream))[-1], Finish)
        for stop in random.Random(7).sample(range(len(STREAM)), 50):
            steps = [*[STREAM[:stop]] * bool(stop), *[ending] * (ending is not None)]
            events = await events_of(upstream)
            assert failure_of(events) == (502, "upstream_stream_cut")
            decoder = ComposerDecoder()
            expected = (decoder.feed(STREAM[:stop]) + decoder.end())[:-1]
            assert events[:-1] == (expected[: len(events) - 1] if isinstance(ending, Reset) else expected)


async def test_silence_is_an_empty_list():
    script: list[Step] = [encode_text("a"), Pause(0.25), encode_text("b") + encode_end()]
    async with composer_backend(script) as server, socket_client(silence_seconds=0.1) as client:
        batches = await batches_of(composer(client, server.origin))
    assert batches == [[TextDelta("a")], [], [], [TextDelta("b"), Finish()]]


async def test_the_connection_of_the_exchange_is_used_again():
    async with composer_backend([STREAM]) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        for _ in range(3):
            await events_of(upstream)
    assert (len(server.requests), len(to(server, ENDPOINT))) == (4, 3)
    assert server.connections <= 3


@pytest.mark.parametrize("pause", [0.0, 0.005], ids=["with the end frame", "in a write of its own"])
async def test_the_connection_of_an_answer_is_used_again(pause):
    """Through the flow, which leaves with the last list: the end of the body may still be on its way then."""
    async with composer_backend([STREAM, Pause(pause)] if pause else [STREAM]) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        for _ in range(5):
            await collect(Exchange(ASK, upstream, Terms(identity=Identity.frozen()), key=KEY))
    assert (len(to(server, ENDPOINT)), server.connections) == (5, 1)


async def test_the_last_list_does_not_wait_for_the_end_of_the_body():
    async with composer_backend([STREAM, Pause(FOR_EVER)]) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        await events_of(upstream)
        async with aclosing(upstream.stream(upstream.write(ASK), KEY)) as batches:
            async for batch in batches:
                if batch and isinstance(batch[-1], Finish):
                    given = trio.current_time()
        assert END_SECONDS <= trio.current_time() - given < END_SECONDS + 0.5
        await gone(server, ENDPOINT)


async def test_a_port_where_nobody_listens():
    async with composer_backend([STREAM]) as server:
        pass
    async with socket_client() as client:
        assert failure_of(await events_of(composer(client, server.origin))) == (503, "upstream_unavailable")


async def test_a_certificate_that_nobody_vouches_for(tmp_path):
    (tmp_path / "certificate").write_text(CERTIFICATE)
    (tmp_path / "key").write_text(TLS_KEY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    async def refuse(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery, socket_client() as client:
        serve = partial(trio.serve_ssl_over_tcp, refuse, 0, context, host="127.0.0.1")
        listeners = await nursery.start(serve)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        assert failure_of(await events_of(composer(client, f"https://localhost:{port}"))) == (424, "upstream_certificate_invalid")
        nursery.cancel_scope.cancel()


# -- a client that goes away ---------------------------------------------------------------------------------------------------------------------


# state -> the path that hangs, and the scripts
WAITS: dict[str, tuple[str, dict[str, Any]]] = {
    "who am I": (IDENTITY_PATH, {"script": [STREAM], "me": [Late(FOR_EVER)]}),
    "exchange": (EXCHANGE_PATH, {"script": [STREAM], "exchange": [Late(FOR_EVER)]}),
    "head": (ENDPOINT, {"script": [Late(FOR_EVER)]}),
    "first byte": (ENDPOINT, {"script": [Pause(FOR_EVER)]}),
    "inside a frame": (ENDPOINT, {"script": [encode_text("a")[:3], Pause(FOR_EVER)]}),
    "between words": (ENDPOINT, {"script": [encode_text("a"), Pause(FOR_EVER)]}),
}


async def gone(server: ComposerServer, path: str) -> None:
    with trio.fail_after(1):
        await to(server, path)[0].gone.wait()


@pytest.mark.parametrize(("path", "scripts"), WAITS.values(), ids=WAITS)
async def test_a_cancelled_pull_closes_the_connection(path, scripts):
    async with composer_backend(**scripts) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                async with aclosing(upstream.stream(upstream.write(IN_SESSION), KEY)) as batches:
                    async for _ in batches:
                        pass

            nursery.start_soon(read)
            await until(lambda: bool(to(server, path)))
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        await gone(server, path)


async def test_a_generator_that_is_closed_between_pulls_closes_the_connection():
    async with composer_backend([encode_text("a"), Pause(FOR_EVER)]) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        batches = upstream.stream(upstream.write(ASK), KEY)
        assert await anext(batches) == [TextDelta("a")]
        await batches.aclose()
        await gone(server, ENDPOINT)


async def test_a_generator_that_was_never_pulled_sends_nothing():
    async with composer_backend([STREAM]) as server, socket_client() as client:
        upstream = composer(client, server.origin)
        await upstream.stream(upstream.write(ASK), KEY).aclose()
        assert server.requests == []


async def test_the_end_frame_ends_it_although_the_body_goes_on():
    async with composer_backend([encode_text("a") + encode_end(), Pause(FOR_EVER)]) as server, socket_client() as client:
        with trio.fail_after(1):
            assert await events_of(composer(client, server.origin)) == [TextDelta("a"), Finish()]
        await gone(server, ENDPOINT)


CLOCKS: dict[str, tuple[list[Step], Timeouts, str]] = {
    "first event": ([Late(FOR_EVER)], Timeouts(first_event_seconds=0.1), "upstream_first_event_timeout"),
    "idle": ([encode_text("a"), Pause(FOR_EVER)], Timeouts(idle_seconds=0.1), "upstream_idle_timeout"),
}


@pytest.mark.parametrize(("script", "timeouts", "code"), CLOCKS.values(), ids=CLOCKS)
async def test_a_clock_that_runs_out_closes_the_connection(script, timeouts, code):
    async with composer_backend(script) as server, socket_client() as client:
        exchange = Exchange(ASK, composer(client, server.origin), Terms(timeouts=timeouts), key=KEY)
        with trio.fail_after(2):
            events = [event async for batch in exchange.events() for event in batch]
        last = events[-1]
        assert isinstance(last, Failed)
        assert last.error.code == code
        await gone(server, ENDPOINT)


async def test_an_answer_that_the_client_leaves_closes_the_connection():
    async with composer_backend([encode_text("a"), Pause(FOR_EVER)]) as server, socket_client() as client:
        answer = await open_stream(Exchange(ASK, composer(client, server.origin), Terms(), key=KEY))
        assert b'"content":"a"' in await anext(answer.pieces)
        await answer.aclose()
        await gone(server, ENDPOINT)


async def asked_for_a_moment(upstream: ComposerUpstream, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await events_of(upstream, IN_SESSION)


async def test_many_that_leave_at_any_time_leave_the_upstream_usable():
    """Whatever the moment is, no connection and no half-done exchange is left that would hold up the next request."""
    chance = random.Random(3)
    chat: list[Step] = [Late(0.01), encode_text("a"), Pause(0.01), encode_end()]
    async with composer_backend(chat, exchange=[Late(0.01), exchanged()], me=[Late(0.01), json_reply(200, {})]) as server, socket_client() as client:
        for _ in range(20):
            upstream = composer(client, server.origin)
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(partial(asked_for_a_moment, upstream, chance.random() * 0.05))
            with trio.fail_after(2):
                assert isinstance((await events_of(upstream))[-1], Finish)
