"""What the scripted server says in the fixtures: requests and answers, written by hand, in frames of a few characters as a model's tokens come."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.wire.composer import encode_end, encode_native_call, encode_text, encode_text_and_thinking, encode_thinking
from pipeline.wire.connect import encode_envelope
from tests.support.composer_server import Cut, Pause, Step

B, b, S, e, E = "<|tool_calls_begin|>", "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>", "<|tool_calls_end|>"


class Scripted(msgspec.Struct, frozen=True):
    """One case: its title, the client's body and its dialect, and the steps of the answer. `computed` says that a rule made its text."""

    title: str
    body: dict[str, Any]
    steps: tuple[Step, ...]
    computed: bool = False
    surface: str = "chat"


def tokens(text: str, low: int = 5, high: int = 12) -> list[str]:
    """The text in pieces of about a token's length, the same for the same text."""
    chance, pieces, at = random.Random(text), [], 0
    while at < len(text):
        size = chance.randint(low, high)
        pieces.append(text[at : at + size])
        at += size
    return pieces


def framed(text: str, encode: Callable[[str], bytes] = encode_text) -> list[bytes]:
    return [encode(piece) for piece in tokens(text)]


def paced(frames: Sequence[bytes], *after: Step) -> tuple[Step, ...]:
    """Frames in writes of one to five, a few milliseconds apart, and then what follows."""
    chance, steps, at = random.Random(len(frames)), list[Step](), 0
    while at < len(frames):
        size = chance.randint(1, 5)
        steps += [b"".join(frames[at : at + size]), Pause(chance.uniform(0.003, 0.02))]
        at += size
    return (*steps, *(after or (encode_end(),)))


def call(name: str, /, **arguments: str) -> str:
    """A call in the form that the prompt shows."""
    return f"{b}\n{name}\n" + "".join(f"{S}{key}\n{value}\n" for key, value in arguments.items()) + e


def block(*calls: str) -> str:
    return B + "".join(calls) + E


def full_width(text: str) -> str:
    for marker in (B, b, S, e, E):
        text = text.replace(marker, marker.replace("|", "｜").replace("_", "▁"))
    return text


def spaced(text: str) -> str:
    for marker in (B, b, S, e, E):
        text = text.replace(marker, marker.replace("<|", "< | ").replace("|>", " | >"))
    return text


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    shown = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    parameters = {"type": "object", "properties": shown, "required": list(shown)[:1]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def body(said: str, *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    offered = {"tools": list(tools)} if tools else {}
    return {"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": said}], **offered, **fields}


READ = tool("read_file", "Read a file of the workspace.", path="string")
WRITE = tool("write_file", "Create or replace a file.", path="string", content="string")
GREP = tool("grep", "Search the workspace with a regular expression.", pattern="string", include="string")
WEATHER = tool("get_weather", "Current weather of a place.", location="string", unit={"type": "string", "enum": ["celsius", "fahrenheit"]})
BOOK = tool("book_table", "Book a table.", guests="integer", terrace="boolean", dishes={"type": "array", "items": {"type": "string"}}, note="string")
USAGE = {"stream_options": {"include_usage": True}}


def cut_in_characters(text: str) -> list[bytes]:
    """Text fields whose edges fall inside characters."""
    data = text.encode()
    return [encode_text(data[at : at + 10]) for at in range(0, len(data), 10)]


def tide_table(characters: int) -> str:
    """A computed text of exactly so many characters, in lines of 128."""
    chance = random.Random(1953)
    rows = ["station;date;" + ";".join(f"{hour:02d}h" for hour in range(24))]
    while sum(map(len, rows)) + len(rows) < characters:
        day = len(rows)
        levels = ";".join(f"{chance.randint(-199, 399):+04d}" for _ in range(20))
        rows.append(f"vlissingen;{1953 + day // 365}-{day % 365:03d};{levels}"[:127])
    return "\n".join(rows)[:characters]


def with_empty_frames(frames: Sequence[bytes]) -> list[bytes]:
    """A frame of no bytes, one with an empty field, and one with a field that nobody knows, between the others."""
    odd = [encode_envelope(b""), encode_text(""), encode_envelope(b"\xfa\x07\x03abc"), encode_thinking("")]
    return [piece for at, frame in enumerate(frames) for piece in (odd[at % len(odd)], frame)]


RATE_LIMIT = {
    "code": "resource_exhausted",
    "message": "Error",
    "details": [
        {
            "type": "aiserver.v1.ErrorDetails",
            "debug": {
                "error": "ERROR_RATE_LIMITED_CHANGEABLE",
                "details": {"title": "Slow down", "detail": "You have sent many requests in the last minute. Try again shortly."},
            },
        }
    ],
}

LIGHTHOUSE = (
    "The lamp at Skerryvore is 48 metres above the water, so on a clear night you can see it from about 26 sea miles. "
    "In fog, trust the chart and not your eyes."
)
TEA = "まずお湯を沸かし、少し冷ましてから注ぎます。三分待てば 🍵 完成です！Ein Löffel Honig 🐝 schadet nie. 👩‍🍳 すごい。"
LOOK = "They want the failing test. The name in the trace is `test_drain`, so I should look for where the drain starts.\n"
SHOPPING = "Friday needs rain jackets: 14 mm are forecast for the afternoon, and the ferry does not wait."
EDGES = (
    '"""The grammar, as text."""\n\nMARKERS = {\n'
    f'    "open": "{B}",\n    "sep": "{S}",\n    "end": "{e}{E} never ends here",\n    "think": "</think> <｜final｜>",\n}}\n\n\n'
    "def is_marker(text: str) -> bool:\n    return text in MARKERS.values()\n"
)

SCRIPTS: dict[str, Scripted] = {
    "plain-text": Scripted(
        "Plain text, with usage",
        body("How far away can I see the light of Skerryvore?", **USAGE),
        paced(framed(LIGHTHOUSE)),
    ),
    "plain-text-whole": Scripted(
        "The same kind of answer, for a client that does not stream",
        body("One line: why is the sea salty?", stream=False),
        paced(framed("Rivers carry a little salt down from the rocks, the sun takes the water back, and the salt stays behind.")),
    ),
    "cjk-emoji": Scripted(
        "Japanese, German and emoji, with characters cut between two text fields", body("お茶のいれ方は？"), paced(cut_in_characters(TEA))
    ),
    "thinking-then-text": Scripted(
        "Thinking in its own field, then the answer; one frame holds both",
        body("Is 2027 a prime number?", **USAGE),
        paced(
            [
                *framed(
                    "Check the primes up to 45: 2, 3, 5 and 7 leave rests, 11*184=2024, 13*155=2015, 43*47=2021. None divides it.", encode_thinking
                ),
                encode_text_and_thinking("Yes", " Good."),
                *framed(", 2027 is prime: no prime up to 45 divides it, and 45 squared is already 2025."),
            ]
        ),
    ),
    "answer-in-thinking": Scripted(
        "The answer comes inside the thinking field, behind </think>",
        body("Which planet has the longest day?"),
        paced(
            framed("Venus turns once in 243 days, backwards.\n</think>\nVenus: from sunrise to sunrise it takes 117 of our days.", encode_thinking)
        ),
    ),
    "answer-behind-final": Scripted(
        "The answer comes inside the thinking field, between the full-width final tokens",
        body("Name a bird that cannot fly."),
        paced(
            framed("Kiwi, ostrich, kakapo. The parrot is the nicest. <｜final｜>The kakapo, a parrot that climbs trees.<｜/final｜>", encode_thinking)
        ),
    ),
    "one-call": Scripted(
        "One call and nothing else",
        body("What is the weather in Tromsø?", WEATHER),
        paced(framed(block(call("get_weather", location="Tromsø, Norway", unit="celsius")))),
    ),
    "parallel-calls": Scripted(
        "Two calls in one block",
        body("Compare the readme with the changelog.", READ, GREP),
        paced(framed(block(call("read_file", path="README.md"), call("grep", pattern=r"^## \[", include="CHANGELOG.md")))),
    ),
    "text-and-call": Scripted(
        "A sentence for the user, then a call, with usage",
        body("Where do we parse dates?", GREP, **USAGE),
        paced(framed("Let me look for it.\n\n" + block(call("grep", pattern=r"strptime\(|fromisoformat", include="*.py")))),
    ),
    "call-after-thinking": Scripted(
        "Thinking in its own field, then a call in the text field",
        body("test_drain fails, why?", READ),
        paced([*framed(LOOK, encode_thinking), *framed(block(call("read_file", path="tests/test_drain.py")))]),
    ),
    "spaced-markers": Scripted(
        "Markers with white space inside",
        body("Weather in Lima?", WEATHER),
        paced(framed("One moment. " + spaced(block(call("get_weather", location="Lima", unit="celsius"))))),
    ),
    "full-width-markers": Scripted(
        "Markers with full-width bars and lower blocks",
        body("大阪の天気は？", WEATHER),
        paced(framed(full_width(block(call("get_weather", location="大阪市", unit="celsius"))))),
    ),
    "argument-64k": Scripted(
        "An argument of 65,536 characters",
        body("Write the tide table to tides.csv.", WRITE),
        paced([encode_text(piece) for piece in tokens(block(call("write_file", path="tides.csv", content=tide_table(65_536))), 1200, 2000)]),
        computed=True,
    ),
    "gzip-frames": Scripted(
        "Every other frame, and the end frame, are compressed",
        body("What should I pack for Friday?"),
        paced([encode_text(piece, compress=at % 2 == 0) for at, piece in enumerate(tokens(SHOPPING))], encode_end(compress=True)),
    ),
    "empty-frames": Scripted(
        "Frames without bytes, with empty fields and with an unknown field between the others",
        body("Say something calm."),
        paced(with_empty_frames(framed("The harbour is still, and every mast stands twice in the water."))),
    ),
    "rate-limit": Scripted("An error end frame and nothing before it", body("Hello?"), paced([], encode_end(RATE_LIMIT))),
    "overloaded-mid-answer": Scripted(
        "An error end frame after some text",
        body("Tell me about moss."),
        paced(framed("Moss has no roots: it drinks with"), encode_end({"code": "unavailable", "message": "Error"})),
    ),
    "cut-in-call": Scripted(
        "The connection closes inside an argument, and inside a frame",
        body("Write a haiku to haiku.txt.", WRITE),
        paced(framed(f"Gladly.\n{B}{b}\nwrite_file\n{S}path\nhaiku.txt\n{S}content\nAn old silent"), encode_text(" pond, a frog")[:9], Cut()),
    ),
    "unknown-tool": Scripted(
        "A call to a tool that was not offered stays text, with a notice",
        body("Remove the build folder.", READ),
        paced(framed("I will clean up. " + block(call("delete_file", target_file="build")))),
    ),
    "typed-arguments": Scripted(
        "An integer, a boolean and an array by the client's schema; a string that looks like a number stays one",
        body("A table for six outside, we want soup and trout.", BOOK),
        paced(framed(block(call("book_table", guests="6", terrace="true", dishes='["soup", "trout"]', note="007")))),
    ),
    "markers-as-data": Scripted(
        "Code whose strings are the markers, as an argument",
        body("Write grammar.py with our markers.", WRITE),
        paced(framed(block(call("write_file", path="grammar.py", content=EDGES)))),
    ),
    "native-call": Scripted(
        "A whole call in the upstream's own field",
        body("Read setup.cfg.", READ),
        paced([*framed("Reading it now."), encode_native_call("toolu_7Qx", "read_file", '{"path": "setup.cfg"}', tool=5)]),
    ),
}


def encode_body(scripted: Scripted) -> bytes:
    return json.dumps(scripted.body, ensure_ascii=False, indent=2).encode() + b"\n"
