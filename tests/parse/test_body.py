"""decode_body: what is not JSON that we read is a 400 in our own words, and fast."""

import time

import pytest

from pipeline.errors import MalformedBody, RequestError
from pipeline.parse.body import MAX_DEPTH, decode_body, read

MALFORMED = {
    "empty": b"",
    "cut": b'{"a": [1',
    "trailing": b'{"a": 1} x',
    "nan": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "1e400": b'{"a": 1e400}',
    "-1e400": b'{"a": -1e400}',
    "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "lone high surrogate": b'{"a": "\\ud800"}',
    "lone low surrogate in a key": b'{"\\udc00": 1}',
    "two high surrogates": b'{"a": "\\ud800\\ud800"}',
    "surrogate in utf-8": b'{"a": "\xed\xa0\x80"}',
    "latin-1": b'{"a": "\xff"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "control character": b'{"a": "\n"}',
    "deep arrays": b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects, open": b'{"a":' * 200_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed(body):
    with pytest.raises(MalformedBody) as caught:
        decode_body(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_json", None)
    assert "msgspec" not in caught.value.message
    assert "$" not in caught.value.message


@pytest.mark.parametrize("body", [body for body in MALFORMED.values() if len(body) > 1000])
def test_a_large_malformed_body_costs_under_50_ms(body):
    def seconds():
        started = time.perf_counter()
        with pytest.raises(MalformedBody):
            decode_body(body)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 0.05


def test_the_place_of_the_fault_is_named():
    with pytest.raises(MalformedBody, match=r"near byte 6"):
        decode_body(b'{"a": NaN}')


@pytest.mark.parametrize(
    ("body", "digits", "place"),
    [
        (b'{"a": "x\\ud83d"}', "ud83d", 8),
        (b'{"a": "\\uD83D cut", "b": 1}', "uD83D", 7),
        (b'{"a": "\\ud83d\\u0041"}', "ud83d", 7),
        (b'{"a": "\\ude00"}', "ude00", 7),
        (b'{"a": "\\\\\\ud83d"}', "ud83d", 9),
        (b'{"a": "\\ud83d\\ude00\\ude00"}', "ude00", 19),
    ],
)
def test_half_of_a_surrogate_pair_is_named(body, digits, place):
    with pytest.raises(MalformedBody) as caught:
        decode_body(body)
    assert caught.value.message == f"The body holds half of a surrogate pair (\\{digits}), which is no character (near byte {place})."


@pytest.mark.parametrize("body", [b'{"a": "\\ud83d', b'{"a": "\\ud83d\\', b'{"a": "\\ud83d\\ud', b'{"a": "\\\\ud83d"', b'{"a": "\\ud83d\\ude00"'])
def test_a_body_that_ends_too_early_is_not_taken_for_that(body):
    with pytest.raises(MalformedBody, match="it ends too early"):
        decode_body(body)


def nested(depth):
    """An object around arrays, `depth` containers in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_the_depth_limit_is_exact():
    assert decode_body(nested(MAX_DEPTH)) != {}
    with pytest.raises(MalformedBody, match="128 levels"):
        decode_body(nested(MAX_DEPTH + 1))


def test_many_brackets_side_by_side_are_not_deep():
    assert len(decode_body(b'{"a": [' + b"[]," * 999 + b"{}]}")["a"]) == 1000


@pytest.mark.parametrize("body", [b"[]", b"null", b'"messages"', b"3", b"true"])
def test_only_an_object_is_a_body(body):
    with pytest.raises(RequestError, match="JSON object") as caught:
        decode_body(body)
    assert not isinstance(caught.value, MalformedBody)


def test_integers_keep_their_digits_and_fields_their_order():
    assert list(decode_body(b'{"b": 12345678901234567890, "a": -12345678901234567890123}').items()) == [
        ("b", 12345678901234567890),
        ("a", -12345678901234567890123),
    ]


def test_read_names_the_path():
    with pytest.raises(RequestError) as caught:
        read([{"a": [0]}], list[dict[str, list[str]]], "here")
    assert caught.value.param is not None
    assert caught.value.param.startswith("here[0]")
    assert caught.value.message.endswith("must be a string, not an integer.")
