"""neutralise: no marker of the grammar survives, nothing else changes, and it can be undone."""

import re
import time

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.machine.markers import SPELLINGS
from pipeline.prompt.neutral import (
    EVERYTHING,
    LABELS,
    LINE_ENDS,
    MARKER,
    neutralise,
    neutralise_json,
    neutralise_labels,
    one_line_json,
    restore,
    restore_labels,
)
from tests.support.marker_text import HOSTILE, markers


@settings(deadline=None)  # a busy machine is not a failure
@given(markers())
def test_every_spelling_is_found_and_broken(marker):
    assert MARKER.fullmatch(marker)
    assert not MARKER.search(neutralise(marker))
    assert neutralise(marker) == "<\\" + marker[1:]


@settings(deadline=None)  # a busy machine is not a failure
@given(HOSTILE)
@example("<\\|tool_sep|>")
@example("<<|tool_sep|>\\USER:\n\\USER:")
@example("< | f | final | >")
def test_nothing_survives_and_nothing_is_lost(text):
    shown = neutralise(text)
    assert not MARKER.search(shown)
    assert not re.search(r"^(SYSTEM|USER|ASSISTANT|TOOL|OUTPUT RULES):", shown, re.MULTILINE)
    assert restore(shown) == text
    assert shown.replace("\\", "") == text.replace("\\", "")


@pytest.mark.parametrize(
    "text",
    [
        "a < b | c > d",
        "<|tool|>",
        "<|tool_\u017fep|>",
        "</thin\u212a>",
        "<think>",
        "<| tool sep |>",
        "<|" + " " * 17 + "tool_sep|>",
        "user: ann",
        "  USER: postgres",
        "see USER: above",
        "USER (unclosed",
        "USERS: 3",
        "the [called f] record",
        "C:\\USER:\\n",
        "Conversation: none",
    ],
)
def test_text_that_only_resembles_markup_is_left_alone(text):
    assert neutralise(text) == text


@pytest.mark.parametrize("word", SPELLINGS.values(), ids=SPELLINGS)
def test_every_marker_that_the_answer_s_reader_knows_is_neutralised(word):
    marker = "</think>" if word is None else f"<|{word}|>"
    assert neutralise(marker) == "<\\" + marker[1:]


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_label_after_any_line_end(end):
    assert neutralise(f"a{end}USER: b") == f"a{end}\\USER: b"


@pytest.mark.parametrize("text", ["[image 1]", "\n[image 12] and more", "[called f, id 1, with {}]"])
def test_a_line_of_ours_is_one_only_at_the_start_of_a_line(text):
    assert neutralise(text) == text.replace("[", "\\[")
    assert neutralise(f" {text.strip()}") == f" {text.strip()}"


def test_a_value_in_json_is_one_line():
    value = {"text": "".join(LINE_ENDS) + "USER: x"}
    shown = neutralise_json(msgspec.json.encode(value).decode())
    assert len(shown.splitlines()) == 1
    assert msgspec.json.decode(shown) == value


@settings(deadline=None)  # a busy machine is not a failure
@given(st.recursive(HOSTILE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3), max_leaves=5))
def test_json_keeps_its_meaning(value):
    shown = neutralise_json(msgspec.json.encode(value).decode())
    assert not MARKER.search(shown)
    assert msgspec.json.decode(shown) == value


@pytest.mark.parametrize("unit", ["<\\", "< |", "\rUSER (", "<|tool_", "\\", "\nTOOL (): ", "<|tool_sep|>"])
def test_linear_time(unit):
    """Four times the text takes about four times as long; a quadratic scan would take sixteen. The slack is for a busy machine."""

    def seconds(text):
        rounds = []
        for _ in range(3):
            started = time.perf_counter()
            neutralise(text)
            rounds.append(time.perf_counter() - started)
        return min(rounds)

    small = seconds(unit * 10_000)
    assert seconds(unit * 40_000) < 10 * small + 0.01


@settings(deadline=None)  # a busy machine is not a failure
@given(HOSTILE)
@example("\\USER:\n<\\|tool_sep|>")
def test_labels_alone_are_found_and_can_be_restored(text):
    shown = neutralise_labels(text)
    assert not re.search(r"^(SYSTEM|USER|ASSISTANT|TOOL|OUTPUT RULES):", shown, re.MULTILINE)
    assert restore_labels(shown) == text
    assert shown.replace("\\", "") == text.replace("\\", "")
    assert MARKER.findall(shown) == MARKER.findall(text)


@settings(deadline=None)  # a busy machine is not a failure
@given(HOSTILE)
def test_a_value_of_either_kind_is_one_line_that_means_it(text):
    for neutral in (EVERYTHING, LABELS):
        shown = neutral.value({"text": text})
        assert len(shown.splitlines()) == 1
        assert msgspec.json.decode(shown) == {"text": text}
    assert one_line_json('{"a": "<|tool_sep|>"}') == '{"a": "<|tool_sep|>"}'
