"""Every row of the case table gives one answer: as text pieces, as frames and as bytes, for every split."""

from collections import Counter

import pytest

from tests.machine.cases import CASES, NUMBERS
from tests.machine.forms import Exam, Tally
from tests.machine.notation import Case, Field
from tests.machine.transcript import CUT_OFF, deltas, lines, new_machine, settled
from tests.support.splits import EVERY_SPLIT_LIMIT

ROWS = [pytest.param(row, id=row.name) for row in CASES]
TEXT_ROWS = [row for row in CASES if not row.is_bytes and row.size <= EVERY_SPLIT_LIMIT]


@pytest.mark.parametrize("row", ROWS)
def test_the_answer_and_the_order_of_its_notices(row: Case):
    exam = Exam(row, Tally())
    _, batches = next(exam.forms())
    assert exam.transcript(batches) == list(row.expected)


@pytest.mark.parametrize("row", ROWS)
def test_every_split_in_every_form_gives_the_same_answer(row: Case, tally: Tally):
    exam, expected = Exam(row, tally), settled(row.expected)
    for form, batches in exam.forms():
        assert exam.answer(form, batches) == expected, (form, batches if len(batches) < 50 else f"{len(batches)} lists")


@pytest.mark.parametrize("row", TEXT_ROWS, ids=lambda row: row.name)
def test_cut_anywhere_no_call_is_completed_that_was_not(row: Case):
    fields = [(kind, str(data)) for kind, data in row.fields]
    complete = [line for line in row.expected if line.startswith("call ")]
    for place, (kind, text) in enumerate(fields):
        for at in range(len(text)):
            machine = new_machine(row.tools, row.policy, parallel=row.parallel)
            found = lines(event for one in [*deltas([*fields[:place], (kind, text[:at])]), CUT_OFF] for event in machine.feed([one]))
            calls = [line for line in found if line.startswith("call ")]
            assert calls == complete[: len(calls)]
            assert found[-1].startswith("failed ")


def test_the_table_is_complete():
    assert {row.number for row in CASES} == set(NUMBERS)
    assert [name for name, times in Counter(row.name for row in CASES).items() if times > 1] == []


def test_rows_render_themselves():
    row = next(row for row in CASES if row.name == "14 text, then a call")
    assert row.shown == r'T "Checking.\n" B b "\nGlob\n" S "targeting\n/p/**\n" S "glob_pattern\n*\n" e E'
    assert row.outcome == r'text "Checking.\n", Glob{"targeting":"/p/**","glob_pattern":"*"}'
    assert next(row.shown for row in CASES if row.number == 45) == r"T b'na\xc3' T b'\xafve'"
    assert all(row.shown and row.outcome and len(row.shown) < 1000 for row in CASES)


def test_a_wrong_answer_would_be_seen():
    """The comparison cannot pass for want of splits: a row with another outcome fails in each form."""
    row = next(row for row in CASES if row.name == "14 text, then a call")
    other = Case(number=14, title="other", fields=(Field("T", "Checkinq." + str(row.fields[0].data)[9:]),), expected=row.expected)
    exam = Exam(other, Tally())
    assert {form for form, batches in exam.forms() if exam.answer(form, batches) != settled(row.expected)} == {"text", "frames", "bytes"}
