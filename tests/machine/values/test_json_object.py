"""An object that is read while it arrives says what a decoder says of the whole, at every cut."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.machine.values.json_object import ObjectReader, State
from tests.support.splits import cut, splits

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)
BROKEN = [
    *('{"a":1,}', '{,"a":1}', '{"a" 1}', '{"a":}', '{"a":tru}', '{"a":[}', '{"a":1]', "{1:2}", '{"a":1 2}'),
    *('{"a":"\x01"}', '{"a":"\\x"}', '{"a":"\\ud800x"}', '{"a":"\\udc00"}'),
]


class Heard:
    """A sink that takes every string in pieces and keeps every member's source."""

    def __init__(self) -> None:
        self.members: list[tuple[str, str]] = []
        self._key = ""

    def member(self, key: str) -> bool:
        self._key = key
        return True

    def begin_string(self) -> None:
        self.members.append((self._key, '"'))

    def string(self, source: str) -> None:
        assert source
        self.members[-1] = (self._key, self.members[-1][1] + source)

    def end_string(self) -> None:
        self.string('"')

    def value(self, source: str) -> bool:
        self.members.append((self._key, source))
        try:
            msgspec.json.decode(source)
        except msgspec.MsgspecError:
            return False
        return True


def read(pieces: list[str]) -> tuple[State, list[tuple[str, str]], str]:
    """The state at the end, the members, and what was left behind the object."""
    heard = Heard()
    reader = ObjectReader(heard, 10_000)
    text = ""
    for piece in pieces:
        text += piece
        at = reader.read(text, 0)
        assert at == len(text) or reader.is_over or len(text) - at <= 12, "more than half an escape was held"
        text = text[at:]
    return reader.state, heard.members, text


@settings(max_examples=300)
@given(
    st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8), JSON, max_size=5),
    st.booleans(),
    st.lists(st.integers(0, 300)),
)
def test_members_are_the_decoder_s(value, ascii_only, edges):
    text = json.dumps(value, ensure_ascii=ascii_only)
    state, members, rest = read(cut(text + " behind", edges))
    assert state is State.DONE
    assert {key: json.loads(source) for key, source in members} == value
    assert rest == (text + " behind")[len(text) :]


@settings(max_examples=500)
@given(st.text(alphabet='{}[]",:\\u0dD8cC1 tруe\n\x01a', max_size=30), st.lists(st.integers(0, 40), max_size=6))
def test_what_a_decoder_refuses_is_broken_or_unfinished(rest, edges):
    text = "{" + rest
    whole, pieces = read([text]), read(cut(text, edges))
    assert whole[0] is pieces[0]
    if whole[0] is not State.BROKEN:
        assert whole[1] == pieces[1]
    if whole[0] is State.DONE:
        json_text = text[: len(text) - len(whole[2])]
        assert set(msgspec.json.decode(json_text)) == {key for key, _ in whole[1]}


@pytest.mark.parametrize("text", BROKEN)
def test_every_cut_of_a_broken_object(text):
    for pieces in splits(text):
        assert read(pieces)[0] is State.BROKEN


def test_a_long_string_is_read_once_and_not_kept():
    heard = Heard()
    reader = ObjectReader(heard, 10_000)
    assert reader.read('{"content": "', 0) == 13
    for _ in range(100):
        assert reader.read("x" * 1000, 0) == 1000
    reader.read('"}', 0)
    assert reader.state is State.DONE
    assert heard.members == [("content", '"' + "x" * 100_000 + '"')]
