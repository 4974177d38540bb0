"""Composer's request message: a value to the one envelope that is sent, and back.

Theory of operation: the whole conversation is one user message; what else the message must hold is constant, and stands here as public projects
document it. `encode_request` writes it, `decode_request` reads what varies, for fake servers, tests and the recorder. The bytes depend on nothing
but the value: ids and the time come with it. Reading skips unknown fields and takes an absent one as empty; tools are never sent here, they are
told in the text.
"""

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.wire.connect import EnvelopeDecoder, encode_envelope
from pipeline.wire.protobuf import encode_fields, read_fields

CLIENT_NAME = "penstock"
AGENT, ASK = "Agent", "Ask"


class ComposerImage(msgspec.Struct, frozen=True):
    """One image of the user's message: the bytes of its file, its size in pixels, and an id."""

    data: bytes
    width: int
    height: int
    uuid: str


class ComposerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What varies in a request. `agent` is Agent mode, else Ask; `os`, `arch` and `time_iso` (ISO 8601) describe the environment."""

    text: str
    images: tuple[ComposerImage, ...] = ()
    model: str
    agent: bool
    message_id: str
    conversation_id: str
    os: str
    arch: str
    client_name: str = CLIENT_NAME
    time_iso: str


def encode_request(request: ComposerRequest) -> bytes:
    """The request as one envelope, not compressed."""
    images = [
        (10, encode_fields((1, image.data), (2, encode_fields((1, image.width), (2, image.height))), (3, image.uuid))) for image in request.images
    ]
    message = encode_fields((1, request.text), (2, 1), *images, (13, request.message_id), (47, 1))
    environment = encode_fields((1, request.os), (2, request.arch), (3, "unknown"), (4, request.client_name), (5, request.time_iso))
    settings = encode_fields((1, r"cursor\aisettings"), (3, b""), (6, encode_fields((1, b""), (2, b""))), (8, 1), (9, 1))
    body = encode_fields(
        (1, message),
        (2, 1),
        (3, b""),
        (4, 1),
        (5, encode_fields((1, request.model), (4, b""))),
        (8, ""),
        (13, 1),
        (15, settings),
        (19, 1),
        (23, request.conversation_id),
        (26, environment),
        (27, 0),
        (30, encode_fields((1, request.message_id), (3, 1))),
        (35, 0),
        (38, 0),
        (46, 1),
        (47, ""),
        (48, 0),
        (49, 0),
        (51, 0),
        (53, 1),
        (54, AGENT if request.agent else ASK),
    )
    return encode_envelope(encode_fields((1, body)))


def decode_request(data: bytes) -> ComposerRequest:
    """Read the body of a request, compressed or not.

    Raises ProtocolViolation when it is not exactly one envelope of readable protobuf.
    """
    framing = EnvelopeDecoder()
    envelopes = framing.feed(data)
    if framing.fault is not None:
        raise framing.fault
    if len(envelopes) != 1 or not framing.at_boundary:
        raise ProtocolViolation("A request is one whole message.")
    body = _Message(envelopes[0].payload).message(1)
    message, environment = body.message(1), body.message(26)
    images = tuple(_image(_Message(value)) for value in message.every(10))
    return ComposerRequest(
        text=message.text(1),
        images=images,
        model=body.message(5).text(1),
        agent=body.text(54) == AGENT,
        message_id=message.text(13),
        conversation_id=body.text(23),
        os=environment.text(1),
        arch=environment.text(2),
        client_name=environment.text(4),
        time_iso=environment.text(5),
    )


def _image(image: "_Message") -> ComposerImage:
    size = image.message(2)
    return ComposerImage(image.data(1), size.number(1), size.number(2), image.text(3))


class _Message:
    """One message by field number; the last value of a number counts, one of another type is as good as absent."""

    def __init__(self, data: bytes) -> None:
        fields = read_fields(data)
        if isinstance(fields, ProtocolViolation):
            raise fields
        self._fields = fields

    def every(self, number: int) -> list[bytes]:
        return [value for found, value in self._fields if found == number and isinstance(value, bytes)]

    def data(self, number: int) -> bytes:
        return (self.every(number) or [b""])[-1]

    def message(self, number: int) -> "_Message":
        return _Message(self.data(number))

    def text(self, number: int) -> str:
        try:
            return self.data(number).decode()
        except UnicodeDecodeError:
            raise ProtocolViolation(f"Field {number} of the request is not UTF-8.") from None

    def number(self, number: int) -> int:
        return ([value for found, value in self._fields if found == number and isinstance(value, int)] or [0])[-1]
