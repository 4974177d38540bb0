"""What becomes of a value that holds a complete structural sequence: a marker in the very place where the grammar gives it a meaning.

In the pairs form there are no quotes and no escapes, so such a value cannot be told from the structure that it imitates, and is not guessed at. A
JSON body has quotes, and there the same text is data (the last rows). The rows say what the client gets; documents print them.
"""

import json

from tests.machine.notation import CALLS, B, Case, E, S, b, block, call, case, e


def _write(value: str) -> str:
    return block(call("Write", content=value))


def _in_json(value: str) -> Case:
    source = json.dumps({"name": "Write", "arguments": {"content": value}}, separators=(",", ":"))
    expected = json.dumps({"content": value}, separators=(",", ":"))
    return case(30, f"in a JSON string: {value}", block(f"{b}{source}{e}"), f"call Write {expected}", CALLS)


_SEQUENCES = (f"a{e}{E}b", f"a{e}{b}Read{e}c", f"a\n{S}path\nb")

STRUCTURAL: tuple[Case, ...] = (
    case(
        30,
        "the ends of call and block: the call ends there, and what follows is text",
        _write(f"a\n{e}{E}b"),
        'call Write {"content":"a"}',
        "text b\n",
        "notice marker_kept",
        f"text {e}{E}",
        CALLS,
    ),
    case(
        30,
        "the end of a call and the begin of another one: two calls",
        _write(f"a\n{e}{b}\nRead\n{S}path\nb"),
        'call Write {"content":"a"}',
        'call Read {"path":"b"}',
        CALLS,
    ),
    case(
        30,
        "a separator and a key that was not given: the value ends there, and the next one begins",
        _write(f"a\n{S}path\nb"),
        'call Write {"content":"a","path":"b"}',
        CALLS,
    ),
    case(
        30,
        "a call begin and the name of an offered tool: the call ends there (repaired), and another one begins",
        _write(f"a\n{b}\nRead\n{S}path\nb"),
        'call Write {"content":"a"}',
        "notice call_repaired",
        'call Read {"path":"b"}',
        CALLS,
    ),
    case(
        30,
        "a call end, outside of a block: the call ends there",
        f"{call('Write', content=f'a {e} b')}",
        'call Write {"content":"a "}',
        "text  b\n",
        "notice marker_kept",
        f"text {e}",
        CALLS,
    ),
    case(
        30,
        "the block's end at the end of the stream, when the real ends are missing: it closes both (repaired)",
        f"{B}{b}\nWrite\n{S}content\nsee {E}",
        'call Write {"content":"see "}',
        "notice call_repaired",
        CALLS,
    ),
    *map(_in_json, _SEQUENCES),
)
