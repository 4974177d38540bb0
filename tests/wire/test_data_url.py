"""data: URLs: every spelling that clients use, what is refused and how, and the way back."""

from base64 import b64encode, urlsafe_b64encode
from textwrap import fill
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.wire.data_url import decode_data_url
from tests.support.image_files import PNG, data_url

PATH = "messages[0].content[1].image_url"
BYTES = bytes(range(256))  # with every digit of both alphabets

SPELLINGS = {
    "usual": "data:image/png;base64," + b64encode(BYTES).decode(),
    "url-safe": "data:image/png;base64," + urlsafe_b64encode(BYTES).decode(),
    "without padding": "data:image/png;base64," + b64encode(BYTES).decode().rstrip("="),
    "wrapped": "data:image/png;base64," + fill(b64encode(BYTES).decode(), 76),
    "wrapped for mail": "data:image/png;base64,\r\n" + fill(b64encode(BYTES).decode(), 64).replace("\n", "\r\n") + "\r\n",
    "escaped": "data:image/png;base64," + quote(b64encode(BYTES).decode(), safe=""),
    "no type": "data:;base64," + b64encode(BYTES).decode(),
    "another type": "data:text/plain;charset=utf-8;base64," + b64encode(BYTES).decode(),
    "capitals and a space": "DATA:image/PNG; Base64," + b64encode(BYTES).decode(),
}


@pytest.mark.parametrize("url", SPELLINGS.values(), ids=SPELLINGS)
def test_the_spellings_of_clients(url):
    assert decode_data_url(url, PATH, 1024) == BYTES


REFUSED = {
    "no data url": ("https://a.example/b.png", "invalid_base64_image"),
    "no comma": ("data:image/png;base64", "invalid_base64_image"),
    "a comma far behind": ("data:" + "x" * 1_000 + ";base64,AAAA", "invalid_base64_image"),
    "no base64": ("data:image/svg+xml,%3Csvg/%3E", "invalid_base64_image"),
    "empty": ("data:image/png;base64,", "empty_image_file"),
    "only padding": ("data:image/png;base64,==", "empty_image_file"),
    "three signs of padding": ("data:image/png;base64,AA===", "invalid_base64_image"),
    "padding inside": ("data:image/png;base64,AA==AA==", "invalid_base64_image"),
    "a lone digit": ("data:image/png;base64,AAAAA", "invalid_base64_image"),
    "a foreign sign": ("data:image/png;base64,AA!A", "invalid_base64_image"),
    "not ascii": ("data:image/png;base64,AAÄA", "invalid_base64_image"),
    "a surrogate": ("data:image/png;base64,AA\ud800A", "invalid_base64_image"),
    "a broken escape": ("data:image/png;base64,AA%zzAA", "invalid_base64_image"),
    "an escape that is no digit": ("data:image/png;base64,AA%00A", "invalid_base64_image"),
    "a byte too large": ("data:image/png;base64," + b64encode(bytes(1025)).decode(), "image_file_too_large"),
    "much too large": ("data:image/png;base64," + "!" * 10_000, "image_file_too_large"),
}


@pytest.mark.parametrize(("url", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(url, code):
    with pytest.raises(RequestError) as raised:
        decode_data_url(url, PATH, 1024)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, code, PATH)
    assert raised.value.message.startswith(PATH)


def test_the_limit_is_exact():
    for size in (1022, 1023, 1024):
        assert len(decode_data_url(data_url(bytes(size), "image/png"), PATH, 1024)) == size


@given(st.binary(min_size=1, max_size=300))
def test_round_trip(data):
    assert decode_data_url(data_url(data, "image/webp"), PATH, 300) == data


@given(st.text(max_size=40) | st.text("AZaz09+/-_=% \n!", max_size=40))
def test_any_text_is_bytes_or_the_clients_error(text):
    size, param = 0, None
    try:
        size = len(decode_data_url("data:image/png;base64," + text, PATH, 20))
    except RequestError as error:
        param = error.param
    assert 1 <= size <= 20 or param == PATH


def test_what_is_written_is_what_everybody_writes():
    assert data_url(PNG, "image/png").startswith("data:image/png;base64,iVBORw0KGgo")
