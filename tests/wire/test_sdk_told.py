"""ToldTwice and Tail: what is said of a text that is told more than once."""

import random

import pytest

from pipeline.wire.sdk_told import TAIL_CHARS, Tail, ToldTwice

# the pieces in order, `u` by an update and `m` by a message -> what is said
ORDERS = {
    "updates alone": ("u:ab u:cd", "ab|cd"),
    "messages alone": ("m:ab m:cd", "ab|cd"),
    "messages behind": ("u:ab m:ab u:cd m:cd", "ab||cd|"),
    "one message behind all": ("u:ab u:cd m:abcd", "ab|cd|"),
    "messages ahead": ("m:ab m:cd u:ab u:cd u:ef", "ab|cd|||ef"),
    "a message ahead in smaller updates": ("m:abcd u:a u:bc u:de", "abcd|||e"),
    "a message ahead in a larger update": ("m:ab u:abcd", "ab|cd"),
    "updates that do not repeat the message": ("m:ab u:xy u:ab", "ab|xy|ab"),
    "updates that stop repeating": ("m:abcd u:ab u:xy", "abcd||xy"),
    "a message that no update repeats, behind one": ("u:ab m:xy", "ab|"),
    "an update that is empty": ("u: m:ab u: u:ab m:cd u:cd", "|ab||||cd"),
}


@pytest.mark.parametrize(("pieces", "said"), ORDERS.values(), ids=ORDERS)
def test_the_order_of_the_accounts(pieces, said):
    text = ToldTwice()
    read = {"u": text.by_update, "m": text.by_message}
    found = [read[piece[0]](piece[2:]) for piece in pieces.split(" ")]
    assert found == said.split("|")


def test_a_bridge_that_sends_messages_alone_is_not_kept_whole():
    text = ToldTwice()
    for _ in range(3):
        assert len(text.by_message("x" * TAIL_CHARS)) == TAIL_CHARS
    assert text.by_update("x") == "x"


def test_the_tail_is_bounded_and_compared_as_far_as_it_goes():
    chance = random.Random(4)
    words = [f"{chance.random()} " for _ in range(40_000)]
    tail = Tail()
    for word in words:
        tail.add(word)
    text = "".join(words)
    assert len(text) > 4 * TAIL_CHARS
    assert tail.holds(text)
    assert tail.holds(text[-100:])
    assert not tail.holds(text[-TAIL_CHARS:-1000])
    assert not tail.holds(text + "x")


@pytest.mark.parametrize("spaces", [" ", "\n\n", "\t \r\n"])
def test_other_white_space_makes_no_other_text_however_long_it_is(spaces):
    words = [f"{number}" for number in range(60_000)]
    tail = Tail()
    for word in words:
        tail.add(f"{word} ")
    text = spaces.join(words)
    assert len(text) > 4 * TAIL_CHARS
    assert tail.holds(text)
    assert tail.is_end_of(text)
    assert tail.is_end_of(f"More.{spaces}{text}")
    assert not tail.holds(f"More.{spaces}{text}")
    assert tail.rest_of(text) == ""
    assert tail.rest_of(f"{text}{spaces}more") == f"{spaces}more"
    assert tail.rest_of(text[1:]) is None
    assert tail.rest_of(text[:-1]) is None
    longer = Tail()
    for word in (*words, "more"):
        longer.add(f"{word}{spaces}")
    assert (tail.rest_of(longer) or "").strip() == "more"
    assert longer.rest_of(tail) is None
