"""What both kinds of OpenAI-compatible upstreams do alike: headers and keys, the base URL's query, and the window."""

from contextlib import aclosing

import httpx
import pytest
import trio

from pipeline.clocks import SILENCE_SECONDS
from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import ContextLengthExceeded, PermissionDenied, StreamCut, UpstreamUnusable
from pipeline.events import Failed, Finish, FinishReason, Notice, Progress, TextDelta, ToolCallStart, UsageReport
from pipeline.prompt.window import Overflow
from pipeline.request import ContextRule, Message, Request, Role, TextPart, ToolCall
from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream
from pipeline.upstream.openai_http import ENDPOINTS, endpoint_url
from pipeline.upstream.openai_responses import OpenAIResponsesConfig, OpenAIResponsesUpstream
from pipeline.upstream.posted import KEY_HEADERS
from tests.support import openai_server as chat
from tests.support import responses_events as responses
from tests.support.chat_bodies import parse
from tests.support.composer_server import Reply
from tests.upstream.test_openai_chat import CALLER, KEY, OWN, direct

KINDS = {
    "chat": (OpenAIChatUpstream, OpenAIChatConfig, chat.ENDPOINT, [chat.text("x"), chat.chunk("stop"), chat.DONE]),
    "responses": (OpenAIResponsesUpstream, OpenAIResponsesConfig, responses.ENDPOINT, [responses.text("x"), responses.completed()]),
}
HELLO = parse()
OLD, NEW = (Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
LONG = Request("m", (OLD, NEW))


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


async def ask(kind, *, answer=None, query="", key="callers-own-key", credential=OWN, **options):
    """The events that one request gives, and the request as the server received it."""
    make, config, path, script = kind
    async with chat.openai_server(answer or script, path) as server, direct() as client:
        upstream = make("one", config(server.origin + "/v1" + query, credential, **options), client)
        async with aclosing(upstream.stream(upstream.write(HELLO), key)) as batches:
            events = [event async for batch in batches for event in batch]
        return events, server.requests[-1]


@pytest.mark.parametrize("header", KEY_HEADERS)
@pytest.mark.parametrize(("credential", "sent"), [(OWN, KEY), (CALLER, "callers-own-key"), (Credential(), None)])
async def test_the_key_is_sent_in_the_header_that_the_settings_name(kind, header, credential, sent):
    _, received = await ask(kind, credential=credential, key_header=header)
    wanted = None if sent is None else f"Bearer {sent}" if header == "authorization" else sent
    assert {name: received.headers.get(name) for name in KEY_HEADERS} == {name: wanted if name == header else None for name in KEY_HEADERS}


async def test_the_query_of_the_base_url_stays_at_the_end(kind):
    events, received = await ask(kind, query="?api-version=2025-04-01&x=1")
    assert received.path == kind[2] + "?api-version=2025-04-01&x=1"
    assert not isinstance(events[-1], Failed)


async def test_the_operator_s_headers_are_sent_and_replace_nothing(kind):
    headers = {"X-Title": "mine", "Content-Type": "text/plain", "AUTHORIZATION": "Bearer other", "host": "evil.example"}
    _, received = await ask(kind, headers=headers)
    sent = received.headers
    assert (sent["x-title"], sent["content-type"], sent["authorization"]) == ("mine", "application/json", f"Bearer {KEY}")
    assert sent["host"].startswith("127.0.0.1")


async def test_the_operator_s_headers_are_told_to_nobody(kind):
    config = kind[1]("https://a.example", OWN, headers={"x-secret": "canary-0123"})
    assert "canary" not in repr(config)
    reply = Reply(403, b'{"error":{"message":"bad header canary-0123 given","code":"canary-0123"}}')
    events, _ = await ask(kind, answer=[reply], headers={"x-secret": "canary-0123"})
    assert isinstance(events[-1], Failed)
    error = events[-1].error
    assert type(error) is PermissionDenied
    assert "canary" not in error.message + (error.code or "")


async def test_settings_that_cannot_be_sent_are_refused(kind):
    make, config, *_ = kind
    async with direct() as client:
        for options in ({"headers": {"x": "a\nb"}}, {"headers": {"x\u00e9": "a"}}, {"key_header": "cookie"}):
            with pytest.raises(ValueError, match=r"upstreams\.one"):
                make("one", config("https://a.example", **options), client)


async def test_a_key_that_no_header_may_have_is_not_sent(kind):
    make, config, *_ = kind
    async with direct() as client:
        upstream = make("one", config("http://127.0.0.1:9", Credential(Kind.OWN, Secret("a\nb"))), client)
        [[failed]] = [batch async for batch in upstream.stream(upstream.write(HELLO), None)]
    assert type(failed.error) is UpstreamUnusable


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("base_url", ["https://a.example", "https://a.example/v1/", "https://a.example/v1/{}", " https://a.example/v1/{}/ "])
def test_base_urls_in_every_spelling(base_url, endpoint):
    for written in ENDPOINTS:
        assert endpoint_url(base_url.format(written), endpoint) == f"https://a.example/v1/{endpoint}"


# -- what the reads of an answer become ------------------------------------------------------------------------------------------------------------


class Body(httpx.AsyncByteStream):
    """Pieces, each after so many seconds, and then silence: an empty piece every `SILENCE_SECONDS`, for as long as somebody reads."""

    def __init__(self, timed):
        self._timed = timed

    async def __aiter__(self):
        for seconds, piece in self._timed:
            await trio.sleep(seconds)
            yield piece
        while True:
            await trio.sleep(SILENCE_SECONDS)
            yield b""


async def read(kind, timed, *, request=HELLO, until=60.0):
    """The lists that an answer gives, and the seconds after which the last one came."""
    make, config, *_ = kind
    batches, began, last = [], trio.current_time(), 0.0
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Body(timed)))
    async with httpx.AsyncClient(transport=transport) as client:
        upstream = make("one", config("http://a.example", OWN), client, new_id=lambda: "made_1")
        with trio.move_on_after(until):
            async with aclosing(upstream.stream(upstream.write(request), None)) as stream:
                async for batch in stream:
                    batches.append(batch)
                    last = trio.current_time() - began
    return batches, last


SAYS_NOTHING = {
    "chat": chat.chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}], content=""),
    "responses": responses.event("response.in_progress"),
}


@pytest.mark.parametrize("name", KINDS)
async def test_data_that_say_nothing_yet_are_progress_and_comments_are_not(name, autojump_clock):
    nothing = SAYS_NOTHING[name]
    said = KINDS[name][3][0]
    timed = [(1, nothing), (1, b": hi\n\n"), (1, nothing[:9]), (1, nothing[9:] + nothing), (1, b"data:\n\n"), (1, nothing + said), (1, b": hi\n\n")]
    batches, _ = await read(KINDS[name], timed, until=8)
    assert batches == [[Progress()], [Progress()], [TextDelta("x")]]


ENDED = Finish(FinishReason.STOP, "stop")
REASON = chat.text("x") + chat.chunk("stop")
COUNTED = UsageReport(9, 3, estimated=False)


@pytest.mark.parametrize(
    ("timed", "expected", "seconds"),
    [
        ([(0, REASON)], [[TextDelta("x")], [ENDED]], 5),
        ([(1, chat.text("x")), (2, chat.chunk("stop"))], [[TextDelta("x")], [Progress()], [ENDED]], 8),
        ([(0, REASON), (3, chat.usage(9, 3))], [[TextDelta("x")], [Progress()], [COUNTED, ENDED]], 8),
        ([(0, REASON), (3, chat.usage(9, 3)), (1, chat.DONE)], [[TextDelta("x")], [Progress()], [COUNTED, ENDED]], 4),
        ([(0, REASON), *[(1, b": hi\n\n")] * 9], [[TextDelta("x")], [ENDED]], 5),
        ([(0, REASON), *[(4, chat.usage(9, 3))] * 9], [[TextDelta("x")], [Progress()], [COUNTED, ENDED]], 8),
    ],
    ids=["silence", "the reason alone", "the usage late", "proper", "comments without end", "usage without end"],
)
async def test_an_answer_that_has_said_why_it_ended_is_not_waited_for_long(timed, expected, seconds, autojump_clock):
    assert await read(KINDS["chat"], timed) == (expected, pytest.approx(seconds))


async def test_an_answer_that_has_not_said_why_it_ended_is_waited_for(autojump_clock):
    every = chat.chunk("stop", content="y")  # a server that gives a reason on each chunk
    for timed in ([(0, chat.text("x"))], [(0, every), (1, every)], [(0, chat.chunk("stop", role="assistant"))]):
        batches, _ = await read(KINDS["chat"], timed)
        assert not any(isinstance(event, Finish | Failed) for batch in batches for event in batch)


async def test_a_response_that_is_completed_is_not_waited_for(autojump_clock):
    batches, seconds = await read(KINDS["responses"], [(0, responses.text("x")), (1, responses.completed())])
    assert (batches[-1], seconds) == ([Finish(FinishReason.STOP, "completed")], 1)


async def test_O4_ids_are_unique_in_the_conversation(kind, autojump_clock):
    called = Message(Role.ASSISTANT, tool_calls=(ToolCall("call_1", "now", "{}"),))
    request = Request("m", (NEW, called, Message(Role.TOOL, (TextPart("12"),), tool_call_id="call_1"), NEW))
    answers = {
        chat.ENDPOINT: chat.call(id="call_1", name="now", arguments="{}") + chat.chunk("tool_calls") + chat.DONE,
        responses.ENDPOINT: b"".join(responses.called(responses.function_call("now", "{}"), ["{}"])) + responses.completed(),
    }
    batches, _ = await read(kind, [(0, answers[kind[2]])], request=request)
    assert [event.id for batch in batches for event in batch if isinstance(event, ToolCallStart)] == ["made_1"]
    assert [event.code for batch in batches for event in batch if isinstance(event, Notice)] == ["duplicate_call_id"]


@pytest.mark.parametrize("said", [chat.DONE, chat.chunk(role="assistant", content="") + chat.DONE], ids=["nothing", "a role"])
async def test_an_answer_of_nothing_is_no_answer(said):
    """So that another target can be asked."""
    events, _ = await ask(KINDS["chat"], answer=[said])
    assert [type(event) for event in events] == [Failed]
    assert isinstance(error := events[0].error, StreamCut)
    assert error.may_pass_elsewhere


# -- the window: (upstream's tokens, upstream's overflow, route's rule) -> what becomes of two turns of about a thousand tokens each
WINDOWS = [
    (None, None, ContextRule(), "sent"),
    (1_200, None, ContextRule(), "sent"),
    (None, Overflow.ERROR, ContextRule(), "sent"),
    (1_200, Overflow.ERROR, ContextRule(), "refused"),
    (1_200, Overflow.SIGNAL, ContextRule(), "refused"),
    (1_200, Overflow.TRIM, ContextRule(), "trimmed"),
    (100_000, Overflow.ERROR, ContextRule(), "sent"),
    (100_000, Overflow.ERROR, ContextRule(tokens=1_200), "refused"),
    (100_000, Overflow.ERROR, ContextRule(tokens=1_200, overflow="trim"), "trimmed"),
    (1_200, Overflow.ERROR, ContextRule(tokens=100_000), "sent"),
    (1_200, None, ContextRule(overflow="trim"), "trimmed"),
    (200, Overflow.TRIM, ContextRule(), "refused"),
]


@pytest.mark.parametrize(("tokens", "overflow", "rule", "outcome"), WINDOWS)
async def test_what_does_not_fit_the_window(kind, tokens, overflow, rule, outcome):
    make, config, *_ = kind
    request = Request("m", LONG.messages, context=rule)
    async with direct() as client:
        upstream = make("one", config("https://a.example", OWN, context_window=tokens, context_overflow=overflow), client)
        if outcome == "refused":
            with pytest.raises(ContextLengthExceeded, match="maximum context length is"):
                upstream.write(request)
            return
        outgoing = upstream.write(request)
    trimmed = outcome == "trimmed"
    assert [b"old old" in outgoing.body, b"new new" in outgoing.body] == [not trimmed, True]
    assert [notice.code for notice in outgoing.notices] == (["context_trimmed"] if trimmed else [])
    assert ("old" in outgoing.prompt) is not trimmed
