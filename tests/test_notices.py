"""Every Notice code that can be said is explained, and nothing else is."""

import re

import pytest

from pipeline.notices import NOTICES
from tests.support.notice_codes import ROOT, codes_of_rooms


def test_each_code_has_a_row_and_each_row_is_said():
    said = codes_of_rooms().keys() | codes_of_rooms(ROOT / "server").keys()
    assert not said - NOTICES.keys(), "codes without a row in pipeline/notices.py"
    assert not NOTICES.keys() - said, "rows that nothing says"


@pytest.mark.parametrize("code", NOTICES)
def test_a_row_is_a_code_and_one_sentence(code):
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", code)
    assert NOTICES[code].strip() == NOTICES[code] != ""
    assert "\n" not in NOTICES[code]
    assert not NOTICES[code].endswith(".")


SOURCE = """
class Sayer:
    def _say(self, code, detail):
        self.events.append(Notice(code, detail))

    def literal(self):
        self._say("by_helper", "x")
        yield Notice("by_class", "x")

    def chosen(self, late):
        choice, word = (1, "in_tuple") if late else (2, "in_other_tuple")
        name = "in_name" if choice else "in_other_name"
        self._say(word, "x")
        self._say(name, "x")
"""


def test_the_reading_finds_codes_however_they_are_given(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "sayer.py").write_text(SOURCE)
    names = {"by_helper", "by_class", "in_tuple", "in_other_tuple", "in_name", "in_other_name"}
    assert codes_of_rooms(tmp_path) == {name: {"room"} for name in names}


def test_a_private_function_says_nothing_in_another_file(tmp_path):
    (tmp_path / "sayer.py").write_text("def _say(code):\n    return Notice(code, 'x')\n\n\ndef one():\n    return _say('said')\n")
    (tmp_path / "other.py").write_text("def _say(text):\n    return text\n\n\ndef two(text):\n    return _say(text)\n")
    assert codes_of_rooms(tmp_path) == {"said": {"sayer.py"}}


def test_a_code_that_cannot_be_read_is_a_fault(tmp_path):
    (tmp_path / "sayer.py").write_text("def say(what):\n    return Notice(what.word, 'x')\n")
    with pytest.raises(ValueError, match="which code"):
        codes_of_rooms(tmp_path)
