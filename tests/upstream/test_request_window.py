"""A conversation that is longer than its model's window: what Composer and the embedded demonstration are sent, and what the client is told."""

import httpx
import msgspec
import pytest

from pipeline.errors import ContextLengthExceeded, PenstockError, RequestError, UnsupportedParameter, UpstreamError, UpstreamUnusable
from pipeline.flow import Exchange, Terms, collect
from pipeline.identity import Identity
from pipeline.prompt.composer import assemble_prompt
from pipeline.prompt.window import Overflow
from pipeline.request import ContextRule, ImagePart, Message, OpaquePart, Request, Role, TextPart
from pipeline.upstream.captured import CapturedUpstream
from pipeline.upstream.composer import ComposerConfig, ComposerUpstream
from pipeline.upstream.http import open_client
from pipeline.upstream.request_window import fitted_prompt
from pipeline.usage.estimate import Counted, tokens_in
from pipeline.wire.composer import encode_end, encode_text
from pipeline.wire.composer_request import decode_request
from tests.support.composer_backend import KEY, Mocked, Pieces
from tests.support.image_files import PNG, data_url, png

WORDS = "the quick brown fox jumps over the lazy dog, and then it rests a while; "


def turn(role, text, *images):
    return Message(role, (TextPart(text + WORDS * 100), *map(ImagePart, images)))


LONG = Request(
    "gpt-5.2",
    (
        turn(Role.SYSTEM, "house rules ", data_url(png(3, 4))),
        turn(Role.USER, "first ", data_url(png(1, 2))),
        turn(Role.ASSISTANT, "answer "),
        turn(Role.USER, "second ", data_url(PNG)),
    ),
    conversation="s-1",
)


def host():
    return Mocked(lambda _: httpx.Response(200, stream=Pieces(encode_text("Hello") + encode_end())))


@pytest.mark.parametrize("conversation", [None, "s-1"])
async def test_what_is_trimmed_is_not_sent(conversation):
    backend = host()
    upstream = backend.upstream(context_window=4_000, context_overflow=Overflow.TRIM)
    request = msgspec.structs.replace(LONG, conversation=conversation)
    exchange = Exchange(request, upstream, Terms(identity=Identity.frozen()), key=KEY)
    assert [notice.code for notice in exchange.notices] == ["context_trimmed"]
    await collect(exchange)
    message = decode_request(backend.requests[-1].content)
    assert message.text == assemble_prompt(msgspec.structs.replace(LONG, messages=(LONG.messages[0], LONG.messages[3])))
    assert [(image.width, image.height) for image in message.images] == [(3, 4), (19, 7)]
    assert "[image 2]" in message.text
    assert "[image 3]" not in message.text


def test_an_image_that_is_none_is_told_of_at_its_place_in_the_whole_conversation():
    broken = Message(Role.USER, (ImagePart("data:image/png;base64,AA=="),))
    upstream = host().upstream(context_window=4_000, context_overflow=Overflow.TRIM)
    with pytest.raises(RequestError, match=r"messages\[4\]") as raised:
        upstream.write(msgspec.structs.replace(LONG, messages=(*LONG.messages, broken)))
    assert raised.value.param == "messages[4].content[0].image_url"


def test_what_does_not_fit_is_refused_and_not_sent():
    upstream = host().upstream(context_window=4_000, context_overflow=Overflow.ERROR)
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 4000 tokens"):
        Exchange(LONG, upstream, Terms())


def test_without_a_word_of_the_operator_the_upstream_is_the_judge():
    outgoing = host().upstream(context_window=4_000).write(LONG)
    assert (outgoing.prompt, outgoing.notices) == (assemble_prompt(LONG), ())


@pytest.mark.parametrize("model", ["composer-2.5", "claude-4-sonnet-1m"])
def test_the_operator_s_window_is_that_of_every_model(model):
    upstream = host().upstream(context_window=4_000, context_overflow=Overflow.ERROR)
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 4000 tokens"):
        upstream.write(msgspec.structs.replace(LONG, model=model))


def test_without_one_only_a_published_window_is_kept_to():
    upstream = host().upstream(context_overflow=Overflow.ERROR)
    long = Request("claude-4-sonnet-1m", (Message(Role.USER, (TextPart(WORDS * 20_000),)),))
    assert upstream.write(long).request.messages == long.messages
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 200000 tokens"):
        upstream.write(msgspec.structs.replace(long, model="composer-2.5"))


def test_no_window_is_no_limit():
    assert fitted_prompt(LONG, None, Overflow.ERROR).prompt == assemble_prompt(LONG)


def test_the_count_is_the_caller_s():
    with pytest.raises(ContextLengthExceeded, match="about 12345 tokens"):
        fitted_prompt(LONG, 12_000, Overflow.ERROR, count=lambda text: 12_345)


def test_the_demonstration_refuses_as_composer_does():
    long = Request("composer-2.5", (Message(Role.USER, (TextPart(WORDS * 20_000),)),))
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 200000 tokens"):
        CapturedUpstream().write(long)
    assert CapturedUpstream().write(msgspec.structs.replace(long, model="gpt-5.2")).request == msgspec.structs.replace(long, model="gpt-5.2")


def test_tokens_are_estimated_as_the_operator_chose():
    short = Request("unlisted", (Message(Role.USER, (TextPart("a " * 7_000),)),))
    assert tokens_in(assemble_prompt(short), "chars4") < 4_300 < tokens_in(assemble_prompt(short))
    limits = {"context_window": 4_500, "context_overflow": Overflow.ERROR}
    with pytest.raises(ContextLengthExceeded):
        host().upstream(**limits).write(short)
    outgoing = host().upstream(**limits, usage_method="chars4").write(short)
    assert outgoing.counted == Counted(tokens_in(outgoing.prompt, "chars4"), "chars4")


def test_what_is_far_too_long_is_refused_unwritten(monkeypatch):
    monkeypatch.setattr("pipeline.upstream.request_window.assemble_prompt", None)
    far = Request("composer-2.5", (Message(Role.USER, (TextPart(WORDS * 400_000),)),))
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 200000 tokens") as caught:
        fitted_prompt(far, 200_000, Overflow.ERROR)
    assert caught.value.param == "messages"


RULES = {
    "tokens": (ContextRule(tokens=4_000), None, Overflow.ERROR, "maximum context length is 4000 tokens"),
    "tokens, where the upstream has fewer": (ContextRule(tokens=4_500), 4_000, Overflow.ERROR, "maximum context length is 4500 tokens"),
    "overflow": (ContextRule(overflow="error"), 4_000, Overflow.TRIM, "maximum context length is 4000 tokens"),
    "signal": (ContextRule(overflow="signal"), 4_000, Overflow.TRIM, "maximum context length is 4000 tokens"),
    "signal of the upstream": (ContextRule(), 4_000, Overflow.SIGNAL, "maximum context length is 4000 tokens"),
    "both": (ContextRule(4_000, "error"), None, None, "maximum context length is 4000 tokens"),
}


@pytest.mark.parametrize(("rule", "window", "overflow", "refusal"), RULES.values(), ids=RULES)
def test_the_route_s_word_counts_before_the_upstream_s(rule, window, overflow, refusal):
    long = Request("unlisted", (Message(Role.USER, (TextPart(WORDS * 500),)),))  # its model's window is not known
    upstream = host().upstream(context_window=window, context_overflow=overflow)
    with pytest.raises(ContextLengthExceeded, match=refusal):
        upstream.write(msgspec.structs.replace(long, context=rule))


def test_the_route_may_leave_the_judgement_to_a_larger_window_or_trim():
    upstream = host().upstream(context_window=4_000, context_overflow=Overflow.ERROR)
    assert upstream.write(msgspec.structs.replace(LONG, context=ContextRule(tokens=100_000))).notices == ()
    trimmed = upstream.write(msgspec.structs.replace(LONG, context=ContextRule(overflow="trim")))
    assert [notice.code for notice in trimmed.notices] == ["context_trimmed"]


@pytest.mark.parametrize(("rule", "error"), [(ContextRule(), UpstreamError), (ContextRule(tokens=3_000), ContextLengthExceeded)])
async def test_an_exhausted_resource_is_judged_by_the_route_s_window(rule, error):
    exhausted = encode_end({"code": "resource_exhausted", "message": "Error"})
    backend = Mocked(lambda _: httpx.Response(200, stream=Pieces(exhausted)))
    asked = Request("composer-2.5", (Message(Role.USER, (TextPart(WORDS * 200),)),), context=rule)
    with pytest.raises(PenstockError) as caught:
        await collect(Exchange(asked, backend.upstream(), Terms(), key=KEY))
    assert type(caught.value) is error


def test_tokens_alone_are_no_limit():
    assert host().upstream().write(msgspec.structs.replace(LONG, context=ContextRule(tokens=10))).prompt == assemble_prompt(LONG)


def test_the_demonstration_keeps_to_the_route_too():
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 4000 tokens"):
        CapturedUpstream().write(msgspec.structs.replace(LONG, context=ContextRule(tokens=4_000)))
    trimmed = CapturedUpstream().write(msgspec.structs.replace(LONG, context=ContextRule(4_000, "trim")))
    assert [notice.code for notice in trimmed.notices] == ["context_trimmed"]
    assert trimmed.request.messages == (LONG.messages[0], LONG.messages[3])


@pytest.mark.parametrize("overflow", [Overflow.ERROR, Overflow.SIGNAL])
def test_what_a_route_s_window_makes_far_too_long_is_refused_unwritten(monkeypatch, overflow):
    monkeypatch.setattr("pipeline.upstream.request_window.assemble_prompt", None)
    far = Request("composer-2.5", (Message(Role.USER, (TextPart(WORDS * 4_000),)),), context=ContextRule(2_000, overflow.value))
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 2000 tokens"):
        fitted_prompt(far, 200_000, Overflow.TRIM)


async def test_nothing_is_fetched_for_what_is_refused_anyhow():
    class Fetching:
        async def fetch(self, url: str, path: str, max_bytes: int) -> bytes:
            raise AssertionError

    image = ImagePart("https://a.example/b.png")
    far = Request("composer-2.5", (Message(Role.USER, (TextPart(WORDS * 400_000), image)),))
    filed = Request("composer-2.5", (Message(Role.USER, (OpaquePart("file", {"type": "file"}, "messages[0].content[0]"), image)),))
    configured = ComposerConfig(base_url="https://a.example", endpoint="/x", context_overflow=Overflow.ERROR)
    trimming = ComposerConfig(base_url="https://a.example", endpoint="/x", context_overflow=Overflow.TRIM)
    for request, config, error in (
        (far, ComposerConfig(), UpstreamUnusable),
        (far, configured, ContextLengthExceeded),
        (filed, configured, UnsupportedParameter),
        (msgspec.structs.replace(far, context=ContextRule(2_000, "signal")), trimming, ContextLengthExceeded),
    ):
        async with open_client() as client:
            upstream = ComposerUpstream("composer", config, client, fetcher=Fetching())
            with pytest.raises(error):
                await Exchange.prepared(request, upstream, Terms())
