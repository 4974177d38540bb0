"""Where an image may come from, as far as parsing judges it."""

import msgspec
import pytest

from pipeline.errors import RequestError
from pipeline.parse.chat import parse_chat
from pipeline.request import ImagePart


def parse(part):
    text = {"type": "text", "text": "What is it?"}
    return parse_chat(msgspec.json.encode({"messages": [{"role": "user", "content": [text, part]}]})).messages[0].parts[1]


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "Data:,x", "http://a.example/b", "HTTPS://a.example/b?c=d#e"])
def test_content_and_web_addresses_stay_as_they_are(url):
    assert parse({"type": "image_url", "image_url": {"url": url}}) == ImagePart(url)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://a.example", "ftp://a.example/b", "//a.example/b", "/b.png", "b.png", " https://a.example", "https:/a", "x"],
)
def test_other_urls_are_refused_by_their_place(url):
    with pytest.raises(RequestError) as raised:
        parse({"type": "image_url", "image_url": {"url": url}})
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_image_url", "messages[0].content[1].image_url")
    assert url not in raised.value.message or url == "x"
