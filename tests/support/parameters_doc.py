"""The generated places of docs/parameters.md: the table of parameters, and what its words mean, printed from `pipeline.parameters`."""

from collections.abc import Callable

from pipeline.parameters import ANY_OTHER, EFFECTS, PARAMETERS, Family, Outcome, Parameter
from server.answering import CUT, MAX_HEADER_CHARS
from tests.support.markdown import code, table


def parameters() -> str:
    families = [family.value for family in Family]
    rows = [[_name(row), row.takes, *(_outcome(row.outcome(family)) for family in Family)] for row in PARAMETERS]
    return table(["parameter", "values", *families], rows)


def effects() -> str:
    return table(["word", "what it means"], [[effect.value, sentence] for effect, sentence in EFFECTS.items()])


def header() -> str:
    return f"""\
`penstock-ignored` names each parameter once, an unknown one by the name that it came with, or by `?` where that is no plain word. It has at most
{MAX_HEADER_CHARS} characters; `{CUT.strip(", ")}` at its end says that there were more."""


def _name(row: Parameter) -> str:
    name = "any other field" if row.name == ANY_OTHER else code(row.name)
    return f"{name}: {row.values}" if row.values else name


def _outcome(outcome: Outcome) -> str:
    return f"**{outcome.effect.value}** {outcome.says}".strip()


REGIONS: dict[str, Callable[[], str]] = {"effects": effects, "header": header, "parameters": parameters}
