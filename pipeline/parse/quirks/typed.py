"""Fields of a decoded object with a type, or the client's error that says where it is another one."""

from typing import Any

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_list, is_object, read
from pipeline.request import Json


def text_at(fields: dict[str, Json], name: str, path: str) -> str | None:
    """The text in a field, None where it is null or absent; raises RequestError for anything else.

    >>> text_at({"name": 3}, "name", "tools[0]")
    Traceback (most recent call last):
    pipeline.errors.RequestError: tools[0].name must be a string, not an integer.
    """
    value = fields.get(name)
    return value if value is None or isinstance(value, str) else read(value, str, f"{path}.{name}")


def needed_text(fields: dict[str, Json], name: str, path: str) -> str:
    """The text in a field that has to be there; raises RequestError otherwise."""
    value = text_at(fields, name, path)
    if value is None:
        raise required(f"{path}.{name}")
    return value


def object_at(fields: dict[str, Json], name: str, path: str) -> dict[str, Json] | None:
    """The object in a field, None where it is null or absent; raises RequestError for anything else."""
    value = fields.get(name)
    return value if value is None or is_object(value) else read(value, dict[str, Any], f"{path}.{name}")


def objects(value: Json, path: str) -> list[dict[str, Json]]:
    """A list of objects; raises RequestError, with the path of the first thing that is none."""
    return value if is_list(value) and all(is_object(each) for each in value) else read(value, list[dict[str, Any]], path)


def required(path: str) -> RequestError:
    """The error of a field that is not there."""
    return RequestError(f"{path} is required.", param=path)


def compact(value: Json) -> str:
    """A value as JSON text without spaces, its keys in the client's order."""
    return msgspec.json.encode(value).decode()
