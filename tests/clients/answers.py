"""What more than one client's tests play: a file to read, an image, faults, a call cut in half, a story without an end, thoughts, and fenced JSON."""

import base64
import json

from pipeline.wire.composer import encode_end, encode_thinking
from tests.support.composer_scripts import B, S, b, framed, paced
from tests.support.composer_server import Cut, Pause, Reply

NOTES = "the heron sleeps at noon\n"
"""What `notes.txt` in a client's folder says; five words."""

DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
"""A PNG of one pixel."""

RETRY_AFTER_SECONDS = 1
RATE_LIMIT = [
    Reply(
        429,
        b'{"code":"resource_exhausted","message":"Error"}',
        {"content-type": "application/json", "retry-after": str(RETRY_AFTER_SECONDS)},
    )
]
REFUSED_KEY = [encode_end({"code": "unauthenticated", "message": "Error"})]
UNAVAILABLE = [encode_end({"code": "unavailable", "message": "Error"})]

HALF_A_CALL = paced(framed(f"Tidying up.{B}{b}\nrun\n{S}command\nrm notes"), Cut())
OVERLOADED_LATER = paced(framed("Tidying up. First I"), *UNAVAILABLE)
STORY = paced(framed("Once there was"), Pause(30))
THOUGHT_FIRST = paced([*framed("No prime up to 45 divides it.", encode_thinking), *framed("Yes, it is prime.")])

ARCHIPELAGO = {"name": "Väinameri", "people": 12_345, "islands": ["Vormsi", "Muhu"]}
ARCHIPELAGO_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}, "islands": {"type": "array", "items": {"type": "string"}}},
    "required": ["name", "people", "islands"],
    "additionalProperties": False,
}
FENCED_ARCHIPELAGO = f"```json\n{json.dumps(ARCHIPELAGO, ensure_ascii=False, indent=2)}\n```"
