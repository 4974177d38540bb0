"""Rows 1 to 13, and 27 and 45: prose, thinking and the tokens between them."""

from tests.machine.notation import CALLS as TOOL_CALLS
from tests.machine.notation import CUT, GLOB, GLOB_CALL, STOP, B, Case, E, K, S, T, b, block, call, case, e, full, spaced

_TAGS = "The tag `</think>` closes it, and <|final|> too."
_ON = "\U0001d11e"

ANSWERS: tuple[Case, ...] = (
    case(1, "text", [T("Hello"), T(" from Composer")], "text Hello from Composer", STOP),
    case(2, "no end of the stream", T("Hello"), "text Hello", CUT, proper=False),
    case(2, "no end, in thinking", K("hm"), "think hm", CUT, proper=False),
    case(2, "no end, inside a marker", T("ok <|tool_ca"), "text ok <|tool_ca", CUT, proper=False),
    case(3, "the answer stands in the thinking field", [K("reason"), K("\n</think>\nOK")], "think reason\n", "text OK", STOP),
    case(4, "thinking and no answer", K("abc"), "think abc", "notice empty_answer", STOP),
    case(5, "final in the thinking field", K("Hidden <｜final｜>Visible answer"), "think Hidden ", "text Visible answer", STOP),
    case(6, "final before the text, in four pieces", [T("<"), T("｜fina"), T("l｜"), T(">\n\nVisible")], "text Visible", STOP),
    case(6, "</think> before the text", T("\n</THINK>\n\nVisible"), "text \nVisible", STOP),
    case(7, "behind the token the thinking field is the answer", [K("r</think>A"), K(" more")], "think r", "text A more", STOP),
    case(8, "a closing final", K("r<｜final｜>OK<｜/final｜>"), "think r", "text OK", STOP),
    case(8, "a closing final, later", [K("r<|final|>"), K("OK<|/final|> and on")], "think r", "text OK and on", STOP),
    case(8, "a closing final without an opening one", T("OK<|/final|>"), "text OK<|/final|>", STOP),
    case(9, "two tokens", K("r</think>\n<｜final｜>OK"), "think r", "text OK", STOP),
    case(9, "a third token is text", K("r</think><|final|></think>OK"), "think r", "text </think>OK", STOP),
    case(10, "tokens that the text talks about", T(_TAGS), f"text {_TAGS}", STOP),
    case(10, "the same behind the answer token", K(f"r</think>{_TAGS}"), "think r", f"text {_TAGS}", STOP),
    case(11, "final with white space in it", T("< |  final  | >Vis"), "text Vis", STOP),
    case(12, "a less-than sign", T("a < b"), "text a < b", STOP),
    case(12, "a less-than sign at the end", [T("a <"), K("think"), T("b")], "text a ", "think think", "text <b", STOP),
    case(13, "both fields in one frame", [K("hm"), T("hi")], "think hm", "text hi", STOP, together=True),
    case(13, "both in one frame, with a token", [K("hm</think>so"), T("hi")], "think hm", "text sohi", STOP, together=True),
)

STRAYS: tuple[Case, ...] = (
    case(27, "stray end and separator in prose", f"see {E} and {S}x", "text see ", "notice marker_kept", f"text {E} and {S}x", STOP),
    case(27, "stray call end in prose", f"see {e}, then.", "text see ", "notice marker_kept", f"text {e}, then.", STOP),
    case(27, "stray block begin in prose", f"the {B} marker", "text the ", "notice malformed_call", f"text {B} marker", STOP),
    case(27, "stray call begin in prose", f"the {b} marker is text", "text the ", "notice malformed_call", f"text {b} marker is text", STOP),
    case(27, "stray strays behind a block", f"{block(GLOB)} {E}.", GLOB_CALL, "notice marker_kept", f"text {E}.", TOOL_CALLS),
)

CUT_CHARACTERS: tuple[Case, ...] = (
    case(45, "a character cut between two text fields", [T(b"na\xc3"), T(b"\xafve")], "text naïve", STOP),
    case(45, "a character in four fields", [T(bytes([byte])) for byte in _ON.encode()], f"text {_ON}", STOP),
    case(
        45,
        "each field has its own cut character",
        [T(b"\xe2\x82"), K(b"\xc3"), T(b"\xac"), K(b"\xa9</think>")],
        "text €",
        "think é",
        STOP,
    ),
    case(
        45,
        "a cut character in an argument",
        [T(call("Write", content="na").encode()[: -len(e) - 1] + b"\xc3"), T(f"\ufffdve\n{e}".encode().replace(b"\xef\xbf\xbd", b"\xaf"))],
        'call Write {"content":"naïve"}',
        TOOL_CALLS,
    ),
    case(
        45,
        "full-width bars cut inside",
        [T(full(B).encode()[:2]), T(full(B).encode()[2:] + GLOB.encode() + full(spaced(E)).encode()[:-3]), T(full(spaced(E)).encode()[-3:])],
        GLOB_CALL,
        TOOL_CALLS,
    ),
    case(45, "the upstream's own replacement character", T("a\ufffdb"), "text a\ufffdb", STOP),
    case(45, "half a character at the end of a field", T(b"OK\xe2\x82"), "text OK", "notice invalid_utf8", STOP),
    case(45, "half a character, then another", T(b"a\xe2\x82b"), "notice invalid_utf8", "text ab", STOP),
)
