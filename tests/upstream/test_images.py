"""Images as files: what is read out of a request, what is fetched for it, the limits, and the bytes that Composer is sent."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import get_args

import anyio
import msgspec
import pytest
from openai.types.responses import ResponseError

from pipeline.errors import RequestError
from pipeline.identity import Identity
from pipeline.parse.chat import parse_chat
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.prompt.composer import assemble_prompt
from pipeline.request import ImagePart, Message, Request, Role, TextPart
from pipeline.upstream.composer_write import write_message
from pipeline.upstream.guarded_fetch import open_fetcher
from pipeline.upstream.images import (
    FETCHES_AT_ONCE,
    MAX_FETCH_COUNT,
    MAX_PIXELS,
    MAX_TOTAL_BYTES,
    ImageFile,
    fetch_images,
    fetched_bytes,
    images_left,
    most_fetched_bytes,
    read_images,
)
from pipeline.wire.composer_request import ComposerImage, decode_request
from pipeline.wire.connect import EnvelopeDecoder
from pipeline.wire.image_header import ImageHeader
from pipeline.wire.protobuf import read_fields
from tests.support.image_files import FILES, PNG, SAMPLES, SIZE, data_url, jpeg, png
from tests.support.raw_server import REQUEST, Flood, Pause, Script, raw_server

CODES = get_args(ResponseError.model_fields["code"].annotation)
SECOND = "messages[0].content[1].image_url"


def asking(*urls: str, text: str = "What is it?") -> Request:
    return Request("composer-2.5", (Message(Role.USER, (TextPart(text), *map(ImagePart, urls))),))


class Web:
    """A fetcher that has its files in a table, and notes what was asked of it."""

    def __init__(self, files: Mapping[str, bytes | RequestError], wait: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint) -> None:
        self.files = files
        self.wait = wait
        self.asked: list[tuple[str, str, int]] = []
        self.running = 0
        self.most_running = 0

    async def fetch(self, url: str, path: str, max_bytes: int) -> bytes:
        self.asked.append((url, path, max_bytes))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.wait()
        finally:
            self.running -= 1
        found = self.files[url]
        if isinstance(found, RequestError):
            raise found
        return found


def assert_refused(error: RequestError, code: str, path: str = SECOND) -> None:
    assert (error.status, error.type, error.code, error.param) == (400, "invalid_request_error", code, path)
    assert error.message.startswith(path)
    assert code in CODES, "clients know these codes"


# -- reading -------------------------------------------------------------------------------------------------------------------------------------


def test_the_type_is_that_of_the_content_whatever_the_label_says():
    urls = [data_url(data, "image/bmp") for data in FILES.values()]
    assert read_images(asking(*urls)) == [ImageFile(FILES[name], ImageHeader(SAMPLES[name][0], *SIZE)) for name in SAMPLES]


def test_the_order_is_that_of_the_conversation():
    first, second, third = (png(width, 1) for width in (1, 2, 3))
    messages = (
        Message(Role.SYSTEM, (ImagePart(data_url(first)),)),
        Message(Role.USER, (TextPart("and"), ImagePart(data_url(second)))),
        Message(Role.TOOL, (ImagePart(data_url(third)), ImagePart(data_url(first))), tool_call_id="c"),
    )
    assert [image.header.width for image in read_images(Request("m", messages))] == [1, 2, 3, 1]


def test_a_request_without_images_has_none():
    assert read_images(asking()) == []


REFUSED = {
    "web address": ("https://a.example/CANARY.png", "invalid_image_url"),
    "no base64": ("data:image/png,CANARY", "invalid_base64_image"),
    "empty": ("data:image/png;base64,", "empty_image_file"),
    "svg": (data_url(b"<svg/>", "image/svg+xml"), "unsupported_image_media_type"),
    "text under a false label": (data_url(b"CANARY", "image/png"), "unsupported_image_media_type"),
    "only a signature": (data_url(PNG[:8]), "image_parse_error"),
    "a cut header": (data_url(jpeg(640, 480)[:8]), "image_parse_error"),
    "too many bytes": (data_url(PNG + bytes(1_048_576)), "image_file_too_large"),
    "pixel bomb": (data_url(png(65_535, 65_535)), "image_too_large"),
    "the largest numbers": (data_url(png(2**32 - 1, 2**32 - 1)), "image_too_large"),
    "one pixel too many": (data_url(png(MAX_PIXELS + 1, 1)), "image_too_large"),
    "one row too many": (data_url(png(8_192, MAX_PIXELS // 8_192 + 1)), "image_too_large"),
}


@pytest.mark.parametrize(("url", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_that_is_sent(url, code):
    with pytest.raises(RequestError) as raised:
        read_images(asking(url))
    assert_refused(raised.value, code)
    assert "CANARY" not in raised.value.message


def test_a_web_address_is_refused_with_the_setting_that_refuses_it():
    with pytest.raises(RequestError, match=r"images\.fetch"):
        read_images(asking("http://a.example/b.png"))


def test_the_limits_are_exact():
    assert read_images(asking(data_url(png(8_192, MAX_PIXELS // 8_192))))
    data = PNG + bytes(1_048_576 - len(PNG))
    assert len(read_images(asking(data_url(data)))[0].data) == 1_048_576
    with pytest.raises(RequestError):
        read_images(asking(data_url(data)), max_bytes=1_048_575)
    assert read_images(asking(data_url(data + b"x")), max_bytes=1_048_577)


def test_an_image_that_is_there_often_counts_as_often():
    url = data_url(PNG + bytes(1_048_576 - len(PNG)))
    count = MAX_TOTAL_BYTES // 1_048_576
    assert len(read_images(asking(*[url] * count))) == count
    with pytest.raises(RequestError) as raised:
        read_images(asking(*[url] * (count + 1)))
    assert_refused(raised.value, "image_file_too_large", f"messages[0].content[{count + 1}].image_url")


# -- fetching ------------------------------------------------------------------------------------------------------------------------------------


async def test_web_addresses_become_their_files_and_the_rest_stays():
    one, two, kept = "https://a.example/1", "HTTP://a.example/2", data_url(b"whatever it is")
    web = Web({one: PNG, two: FILES["gif"]})
    before = Request(
        "m",
        (
            Message(Role.SYSTEM, (TextPart("Be brief."),)),
            Message(Role.USER, (TextPart("a"), ImagePart(one, "low"), ImagePart(kept, "high"), ImagePart(two)), name="ann"),
            Message(Role.USER, (ImagePart(one, "high"),)),
        ),
        conversation="c",
    )
    after = await fetch_images(before, web, max_bytes=1_000)
    files = {one: PNG, two: FILES["gif"], kept: None}
    assert [part for message in after.messages for part in message.parts if isinstance(part, ImagePart)] == [
        ImagePart(part.url, part.detail, files[part.url]) for message in before.messages for part in message.parts if isinstance(part, ImagePart)
    ]
    assert [(message.text, message.name) for message in after.messages] == [(message.text, message.name) for message in before.messages]
    assert msgspec.structs.replace(after, messages=()) == msgspec.structs.replace(before, messages=())
    # each address once, under its first place
    assert sorted(web.asked) == [(two, "messages[1].content[3].image_url", 1_000), (one, "messages[1].content[1].image_url", 1_000)]


async def test_a_file_is_kept_once_and_as_it_came():
    request = await fetch_images(asking("https://a.example/1", "https://a.example/1"), Web({"https://a.example/1": PNG}))
    assert all(image.data is PNG for image in read_images(request))
    assert fetched_bytes(request) == len(PNG)


def test_what_may_have_to_be_fetched_is_known_before():
    request = asking("https://a.example/1", "https://a.example/1", "http://a.example/2", data_url(PNG))
    assert most_fetched_bytes(request, 1_000) == 2_000
    assert most_fetched_bytes(request, MAX_TOTAL_BYTES) == MAX_TOTAL_BYTES
    assert most_fetched_bytes(asking(data_url(PNG))) == 0
    assert fetched_bytes(request) == 0


def test_of_a_shorter_request_only_its_images_are_left():
    whole = Request("m", tuple(Message(Role.USER, (ImagePart(data_url(png(width, 1))),)) for width in (1, 2, 3)))
    left = msgspec.structs.replace(whole, messages=whole.messages[1:])
    assert [image.header.width for image in images_left(read_images(whole), whole, left)] == [2, 3]


async def test_without_a_web_address_nothing_is_done():
    request = asking(data_url(b"no image"))
    assert await fetch_images(request, Web({})) is request


async def test_what_was_fetched_is_judged_as_what_was_sent():
    for data, code in ((b"<html>CANARY", "unsupported_image_media_type"), (b"GIF89a", "image_parse_error"), (png(65_535, 65_535), "image_too_large")):
        with pytest.raises(RequestError) as raised:
            await fetch_images(asking("https://a.example/b.png"), Web({"https://a.example/b.png": data}))
        assert_refused(raised.value, code)


async def test_a_few_at_a_time_and_a_fault_ends_all(autojump_clock):
    urls = [f"https://a.example/{number}" for number in range(MAX_FETCH_COUNT)]
    web = Web(dict.fromkeys(urls, PNG), partial(anyio.sleep, 0.1))
    assert len(read_images(await fetch_images(asking(*urls), web))) == MAX_FETCH_COUNT
    assert web.most_running == FETCHES_AT_ONCE

    fault = RequestError("CANARY", param="there")
    web = Web({**dict.fromkeys(urls, PNG), urls[5]: fault}, partial(anyio.sleep, 0.1))
    with pytest.raises(RequestError) as raised:
        await fetch_images(asking(*urls), web)
    assert raised.value is fault
    assert web.running == 0
    assert FETCHES_AT_ONCE < len(web.asked) <= 3 * FETCHES_AT_ONCE


async def test_one_address_too_many_is_refused_before_the_first_is_fetched():
    web = Web({})
    with pytest.raises(RequestError) as raised:
        await fetch_images(asking(*(f"https://a.example/{number}" for number in range(MAX_FETCH_COUNT + 1))), web)
    assert raised.value.param == f"messages[0].content[{MAX_FETCH_COUNT + 1}].image_url"
    assert web.asked == []


async def test_all_files_together_have_a_limit():
    urls = [f"https://a.example/{number}" for number in range(5)]
    web = Web(dict.fromkeys(urls, PNG + bytes(MAX_TOTAL_BYTES // 4)))
    with pytest.raises(RequestError) as raised:
        await fetch_images(asking(*urls), web, max_bytes=MAX_TOTAL_BYTES)
    assert raised.value.code == "image_file_too_large"


async def test_the_clock_is_one_for_all(autojump_clock):
    urls = [f"https://a.example/{number}" for number in range(2 * FETCHES_AT_ONCE)]
    web = Web(dict.fromkeys(urls, PNG), partial(anyio.sleep, 6))
    began = anyio.current_time()
    with pytest.raises(RequestError) as raised:
        await fetch_images(asking(*urls), web)
    assert anyio.current_time() - began == pytest.approx(10)
    assert_refused(raised.value, "failed_to_download_image", f"messages[0].content[{FETCHES_AT_ONCE + 1}].image_url")
    assert web.running == 0


async def test_a_cancelled_request_cancels_its_fetches(autojump_clock):
    web = Web({}, anyio.sleep_forever)
    with anyio.move_on_after(1) as scope:
        await fetch_images(asking("https://a.example/1", "https://a.example/2"), web)
    assert (scope.cancelled_caught, web.running, len(web.asked)) == (True, 0, 2)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG)
SLOW: dict[str, Script] = {
    "a slow drip": [REQUEST, HEAD, *(step for byte in PNG for step in (bytes([byte]), Pause(0.02)))],
    "a slow head": [REQUEST, *(step for byte in HEAD for step in (bytes([byte]), Pause(0.02)))],
    "endless interim responses, slowly": [REQUEST, *[b"HTTP/1.1 103 Wait\r\n\r\n", Pause(0.02)] * 100],
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
async def test_a_slow_host_meets_the_clock_and_loses_the_connection(script):
    async with raw_server(script) as server, open_fetcher(may_reach=lambda address: address.is_loopback, ports={server.port}) as fetcher:
        began = anyio.current_time()
        with pytest.raises(RequestError) as raised:
            await fetch_images(asking(server.url()), fetcher, seconds=0.2)
        assert 0.15 < anyio.current_time() - began < 1.5
        assert_refused(raised.value, "failed_to_download_image")
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()


async def test_one_that_fails_closes_the_connections_of_the_others():
    scripts: list[Script] = [[REQUEST, Pause(0.05), HEAD.replace(b"200", b"404") + PNG], [REQUEST, HEAD]]
    async with raw_server(*scripts) as server, open_fetcher(may_reach=lambda address: address.is_loopback, ports={server.port}) as fetcher:
        with anyio.fail_after(2), pytest.raises(RequestError):
            await fetch_images(asking(*map(server.url, ("/1", "/2", "/3"))), fetcher)
        with anyio.fail_after(1):
            for peer in server.peers:
                await peer.gone.wait()


async def test_the_default_fetcher_makes_no_connection_to_this_machine():
    async with raw_server([REQUEST, Flood(PNG)]) as server, open_fetcher(ports={server.port}) as fetcher:
        with pytest.raises(RequestError) as raised:
            await fetch_images(asking(server.url()), fetcher)
        assert_refused(raised.value, "invalid_image_url")
        assert server.peers == []


# -- what the upstreams are sent -----------------------------------------------------------------------------------------------------------------


def test_composer_is_sent_the_bytes_and_the_size_in_the_order_of_the_prompt():
    request = asking(data_url(PNG), data_url(FILES["jpeg"]), data_url(PNG))
    prompt = assemble_prompt(request)
    body = write_message(request, prompt, Identity.frozen(), images=read_images(request))
    message = decode_request(body)
    assert [(image.data, image.width, image.height) for image in message.images] == [(data, *SIZE) for data in (PNG, FILES["jpeg"], PNG)]
    assert all(f"[image {number}]" in message.text for number in (1, 2, 3))
    ids = [image.uuid for image in message.images]
    assert len({*ids, message.message_id, message.conversation_id}) == 5
    assert body == write_message(request, prompt, Identity.frozen(), images=read_images(request))


def fields(data: bytes | int) -> list[tuple[int, bytes | int]]:
    assert isinstance(data, bytes)
    found = read_fields(data)
    assert isinstance(found, list)
    return found


def test_an_image_in_composers_message_field_by_field():
    request = asking(data_url(png(640, 480)))
    (envelope,) = EnvelopeDecoder().feed(write_message(request, "look", Identity.frozen(), images=read_images(request)))
    user = fields(dict(fields(dict(fields(envelope.payload))[1]))[1])
    ((_, image),) = [field for field in user if field[0] == 10]
    (data, size, uuid) = fields(image)
    assert (data, uuid[0]) == ((1, png(640, 480)), 3)
    assert (size[0], fields(size[1])) == (2, [(1, 640), (2, 480)])


def test_without_files_composers_message_has_no_images():
    request = asking(data_url(PNG))
    assert decode_request(write_message(request, "look", Identity.frozen())).images == ()


def test_a_composer_image_has_the_order_in_which_it_is_written():
    image = ComposerImage(PNG, *SIZE, "u")
    assert (image.data, image.width, image.height, image.uuid) == (PNG, 19, 7, "u")


@pytest.mark.parametrize("url", ["https://a.example/b.png?c=d", "data:image/png;base64,AA-_", "data:application/pdf;base64,JVBERg"])
def test_an_openai_compatible_upstream_is_sent_the_url_as_it_came(url):
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    request = parse_chat(msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": [image]}]}))
    sent = msgspec.json.decode(write_chat_body(request, ChatProfile()))
    assert sent["messages"][0]["content"] == [image]
    with pytest.raises(RequestError):
        write_chat_body(request, ChatProfile(images=False))
