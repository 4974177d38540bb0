"""The request message: its exact fields, and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.wire.composer_request import ComposerImage, ComposerRequest, decode_request, encode_request
from pipeline.wire.connect import encode_envelope
from pipeline.wire.protobuf import encode_fields, read_fields

REQUEST = ComposerRequest(
    text="USER: hi",
    images=(ComposerImage(b"\x89PNG", 640, 480, "u-1"),),
    model="composer-2.5",
    agent=True,
    message_id="m-1",
    conversation_id="c-1",
    os="linux",
    arch="x64",
    time_iso="2026-01-02T03:04:05Z",
)


def fields(data):
    found = read_fields(data)
    assert isinstance(found, list)
    return found


def test_the_exact_fields():
    data = encode_request(REQUEST)
    assert data[0] == 0
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    [(number, body)] = fields(data[5:])
    assert number == 1
    found = fields(body)
    user, model, settings, environment, ids = (fields(dict(found)[number]) for number in (1, 5, 15, 26, 30))
    nested = {1, 5, 15, 26, 30}
    assert [(number, value) for number, value in found if number not in nested] == [
        (2, 1),
        (3, b""),
        (4, 1),
        (8, b""),
        (13, 1),
        (19, 1),
        (23, b"c-1"),
        (27, 0),
        (35, 0),
        (38, 0),
        (46, 1),
        (47, b""),
        (48, 0),
        (49, 0),
        (51, 0),
        (53, 1),
        (54, b"Agent"),
    ]
    assert [number for number, _ in found if number in nested] == sorted(nested)
    image = encode_fields((1, b"\x89PNG"), (2, encode_fields((1, 640), (2, 480))), (3, "u-1"))
    assert user == [(1, b"USER: hi"), (2, 1), (10, image), (13, b"m-1"), (47, 1)]
    assert model == [(1, b"composer-2.5"), (4, b"")]
    assert settings == [(1, b"cursor\\aisettings"), (3, b""), (6, b"\x0a\x00\x12\x00"), (8, 1), (9, 1)]
    assert environment == [(1, b"linux"), (2, b"x64"), (3, b"unknown"), (4, b"penstock"), (5, b"2026-01-02T03:04:05Z")]
    assert ids == [(1, b"m-1"), (3, 1)]


TEXT = st.text(max_size=30)
IMAGES = st.lists(st.builds(ComposerImage, st.binary(max_size=30), st.integers(0, 1 << 31), st.integers(0, 1 << 31), TEXT), max_size=3).map(tuple)
REQUESTS = st.builds(
    ComposerRequest,
    text=TEXT,
    images=IMAGES,
    model=TEXT,
    agent=st.booleans(),
    message_id=TEXT,
    conversation_id=TEXT,
    os=TEXT,
    arch=TEXT,
    client_name=TEXT,
    time_iso=TEXT,
)


@given(REQUESTS)
def test_round_trip(request):
    assert decode_request(encode_request(request)) == request


def test_a_compressed_request_and_unknown_fields_are_read():
    payload = encode_request(REQUEST)[5:]
    assert decode_request(encode_envelope(payload + encode_fields((99, "new")), compress=True)) == REQUEST


def test_absent_fields_are_empty():
    request = decode_request(encode_envelope(b""))
    assert (request.text, request.images, request.agent, request.model) == ("", (), False, "")


BROKEN = {
    "nothing": b"",
    "two messages": encode_request(REQUEST) * 2,
    "cut": encode_request(REQUEST)[:-1],
    "one and a piece": encode_request(REQUEST) + b"\0",
    "no protobuf": encode_envelope(b"\x0a\x7f"),
    "no utf-8": encode_envelope(encode_fields((1, encode_fields((23, b"\xff"))))),
    "a web form": b"text=hi&model=composer",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_a_protocol_violation(data):
    with pytest.raises(ProtocolViolation):
        decode_request(data)


@given(st.binary(max_size=100))
def test_any_bytes_give_a_request_or_a_protocol_violation(data):
    for body in (data, encode_envelope(data), encode_envelope(encode_fields((1, data)))):
        try:
            assert isinstance(decode_request(body), ComposerRequest)
        except ProtocolViolation:
            continue
