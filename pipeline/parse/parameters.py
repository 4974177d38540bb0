"""The checks that the table of parameters asks for, before anything reads a body.

Theory of operation: the fields of a body come in; those that no parser reads come out unchanged, in the client's order. Every value of a field whose
row has a type is checked against it, and against its range; a rejected parameter that asks for something is refused. A field without a row of its
own is unknown: kept, never judged. null means absent for every field that has a row.
"""

from typing import Any

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.parameters import BY_NAME, Parameter
from pipeline.parse.body import read
from pipeline.request import Json


def unread_fields(fields: dict[str, Json]) -> dict[str, Json]:
    """The fields of a body that no parser reads, when all of its fields are as the table wants them.

    Raises:
        RequestError: a wrong type, or a number out of its range; `param` names it.
        UnsupportedParameter: a rejected parameter asks for something.

    >>> unread_fields({"model": "composer-2.5", "temperature": 0.2, "n": 1, "client_metadata": {}})
    {'temperature': 0.2, 'client_metadata': {}}
    """
    extra: dict[str, Json] = {}
    for name, value in fields.items():
        row = BY_NAME.get(name)
        if row is None:
            extra[name] = value
        elif value is not None:
            _check(row, value)
            if row.is_kept:
                extra[name] = value
    return extra


def _check(row: Parameter, value: Json) -> None:
    if isinstance(row.shape, str):  # its own parser checks it
        return
    checked: Any = read(value, row.shape, row.name)
    if row.low is not None and row.high is not None:
        _check_range(checked, row.low, row.high, row.name)
    if row.is_rejected and checked not in row.harmless:
        why = row.composer.says
        raise UnsupportedParameter(f"{row.name} is not supported here{': ' + why[0].lower() + why[1:] if why else '.'}", param=row.name)


def _check_range(value: float | dict[str, float], low: float, high: float, name: str) -> None:
    numbers = value.values() if isinstance(value, dict) else (value,)
    if not all(low <= number <= high for number in numbers):
        subject = f"every value of {name}" if isinstance(value, dict) else name
        raise RequestError(f"{subject} must be between {low} and {high}.", param=name)
