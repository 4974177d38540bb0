"""The case table of the marker grammar, as data: what the model writes, and what the client gets, for every split of it.

`CASES` are all rows in the order of their numbers; a number has as many rows as its sentence names variants. The same rows are tested in every form
(`test_cases`), mutated by the fuzzer (`tests.fuzz`) and printed by the documents.
"""

from tests.machine.cases_calls import CUTS, ENDS, FORMS
from tests.machine.cases_text import ANSWERS, CUT_CHARACTERS, STRAYS
from tests.machine.cases_values import ALIASES, LONG, NOT_OFFERED, VALUES
from tests.machine.notation import Case

CASES: tuple[Case, ...] = tuple(
    sorted((*ANSWERS, *FORMS, *ENDS, *STRAYS, *VALUES, *NOT_OFFERED, *ALIASES, *LONG, *CUT_CHARACTERS, *CUTS), key=lambda row: row.number)
)
NUMBERS = range(1, 47)
