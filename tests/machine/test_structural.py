"""Values that hold complete structural sequences: one documented answer each, for every split and in every form."""

import pytest

from tests.machine.forms import Exam, Tally
from tests.machine.notation import Case
from tests.machine.structural import STRUCTURAL
from tests.machine.transcript import settled
from tests.support.call_spellings import is_structural


@pytest.mark.parametrize("row", STRUCTURAL, ids=lambda row: row.title)
def test_one_answer_for_every_split(row: Case, tally: Tally):
    exam = Exam(row, tally)
    _, batches = next(exam.forms())
    assert exam.transcript(batches) == list(row.expected)
    for form, batches in exam.forms():
        assert exam.answer(form, batches) == settled(row.expected), (form, batches)


@pytest.mark.parametrize("row", [row for row in STRUCTURAL if row.shown.startswith('T B b "\\nWrite')], ids=lambda row: row.title)
def test_the_generator_of_conversations_leaves_these_out(row: Case):
    """The rows are what the oracle by construction cannot speak about."""
    value = str(row.fields[0].data).split("content\n", 1)[1]
    assert is_structural(value) or row.title.startswith("the block's end")
