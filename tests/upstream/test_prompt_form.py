"""What Composer and the embedded demonstration make of a Chat request for which a prompt has no place: named, written as a function, or refused."""

import httpx
import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.events import ToolCallStart
from pipeline.flow import Exchange, Terms, collect
from pipeline.prompt.custom_tools import PARAMETERS
from pipeline.upstream.base import Upstream
from pipeline.upstream.captured import CapturedUpstream
from pipeline.wire.composer import encode_end, encode_text
from pipeline.wire.composer_request import decode_request
from tests.support.chat_bodies import TOOL, parse
from tests.support.composer_backend import KEY, Mocked, Pieces

CALL = "<|tool_calls_begin|><|tool_call_begin|>\npatch\n<|tool_sep|>input\n*** Begin {\n<|tool_call_end|><|tool_calls_end|>"
PATCH = {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}}


def host(text: str = "Hello") -> Mocked:
    return Mocked(lambda _: httpx.Response(200, stream=Pieces(encode_text(text) + encode_end())))


def upstreams() -> list[Upstream]:
    return [host().upstream(), CapturedUpstream()]


@pytest.mark.parametrize("upstream", upstreams(), ids=lambda upstream: upstream.name)
@pytest.mark.parametrize(("kind", "shown"), [("file", "file"), ("input_audio", "input_audio"), ("no\nword", "?"), ("x" * 65, "?")])
def test_what_is_neither_text_nor_an_image_is_refused_with_its_place(upstream, kind, shown):
    request = parse(messages=[{"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": kind}]}])
    with pytest.raises(UnsupportedParameter, match=f"is of type {shown}".replace("?", "[?]")) as caught:
        upstream.write(request)
    assert caught.value.param == "messages[1].content[1].type"


@pytest.mark.parametrize("upstream", upstreams(), ids=lambda upstream: upstream.name)
def test_what_nobody_reads_is_named_as_ignored(upstream):
    request = parse(
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}], "x": 1}] * 2,
        tools=[{**TOOL, "cache_control": {}}],
        top_k=4,
        text={"verbosity": "low"},
    )
    names = ("top_k", "messages.x", "messages.content.cache_control", "tools.cache_control", "text.verbosity")
    assert upstream.write(request).ignored == names


@pytest.mark.parametrize("upstream", upstreams(), ids=lambda upstream: upstream.name)
def test_custom_tools_are_offered_as_functions(upstream):
    calls = [{"id": "a", "type": "custom", "custom": {"name": "patch", "input": "old"}}]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "a", "content": "ok"}]
    outgoing = upstream.write(parse(tools=[TOOL, PATCH], messages=messages))
    assert [(tool.name, tool.custom) for tool in outgoing.request.tools] == [("get_weather", False), ("patch", False)]
    assert outgoing.request.tools[1].parameters == PARAMETERS
    assert '[called patch, id a, with {"input":"old"}]' in outgoing.prompt
    assert "lark grammar:\\nstart: /.+/" in outgoing.prompt


async def test_composer_s_call_of_a_custom_tool_has_its_raw_text_behind_the_flow():
    backend = host(CALL)
    exchange = Exchange(parse(tools=[PATCH]), backend.upstream(), Terms(), key=KEY)
    _, whole = await collect(exchange)
    assert [(call.name, call.custom, call.arguments) for call in whole.calls] == [("patch", True, "*** Begin {")]
    message = decode_request(backend.requests[-1].content)
    assert message is not None
    assert '"name":"patch"' in message.text


async def test_the_demonstration_calls_a_custom_tool_that_is_required():
    exchange = Exchange(parse(tools=[PATCH], tool_choice={"type": "custom", "name": "patch"}), CapturedUpstream(pace_seconds=0), Terms())
    events = [event async for batch in exchange.events() for event in batch]
    assert [event.name for event in events if isinstance(event, ToolCallStart)] == ["patch"]
