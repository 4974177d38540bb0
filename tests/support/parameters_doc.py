"""The generated places of docs/parameters.md and docs/composer.md: tables of parameters, printed from `pipeline.parameters`."""

from collections.abc import Callable

from pipeline.parameters import ANY_OTHER, EFFECTS, PARAMETERS, Family, Parameter
from server.answering import CUT, MAX_HEADER_CHARS
from tests.support.markdown import code, table

BESIDE = {
    Family.SDK_BRIDGE: Family.COMPOSER,
    Family.WEBSITE: Family.COMPOSER,
    Family.OPENAI_RESPONSES: Family.OPENAI_CHAT,
    Family.ANTHROPIC: Family.OPENAI_CHAT,
}
"""A family -> the one beside which it stands: a sentence that is the other's too is not said twice."""


def parameters() -> str:
    families = [family.value for family in Family]
    rows = [[_name(row), row.takes, *(_outcome(row, family) for family in Family)] for row in PARAMETERS]
    return table(["parameter", "values", *families], rows)


CURSORS = {Family.SDK_BRIDGE: "SDK bridge", Family.COMPOSER: "your endpoint", Family.WEBSITE: "website"}
"""The ways to Cursor's models, under the names that they have on their own page."""


def ways() -> str:
    """Only what is not the same on all of them."""
    differ = [row for row in PARAMETERS if len({row.outcome(family) for family in CURSORS}) > 1]
    rows = [[_name(row), *(f"**{row.outcome(family).effect.value}** {row.outcome(family).says}".strip() for family in CURSORS)] for row in differ]
    return table(["parameter", *CURSORS.values()], rows)


def effects() -> str:
    return table(["word", "what it means"], [[effect.value, sentence] for effect, sentence in EFFECTS.items()])


def header() -> str:
    return f"""\
`penstock-ignored` names each parameter once, an unknown one by the name that it came with, or by `?` where that is no plain word. It has at most
{MAX_HEADER_CHARS} characters; `{CUT.strip(", ")}` at its end says that there were more."""


def _name(row: Parameter) -> str:
    name = "any other field" if row.name == ANY_OTHER else code(row.name)
    return f"{name}: {row.values}" if row.values else name


def _outcome(row: Parameter, family: Family) -> str:
    outcome, other = row.outcome(family), BESIDE.get(family)
    if other is not None and outcome.says and outcome == row.outcome(other):
        return f"**{outcome.effect.value}** as {other.value}"
    return f"**{outcome.effect.value}** {outcome.says}".strip()


WAYS: dict[str, Callable[[], str]] = {"ways": ways}
REGIONS: dict[str, Callable[[], str]] = {"effects": effects, "header": header, "parameters": parameters}
