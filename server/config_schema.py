"""Check raw values, as TOML gives them, against the classes of `server.settings`, and name everything that is wrong.

`msgspec.convert` does the conversion, but it stops at the first fault. So the raw tree is walked first: tables, unions of tables and arrays of tables
by the code here, single values by `msgspec.convert` on each alone. A tree without problems converts. What comes in is left as it is.

The annotations are the only source: what a message says was expected, and what the reference prints as a type, come from `expected`.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import inspect

from pipeline.credential import Secret
from server.problems import Problem, ValuePath, format_path, format_value, listed, nearest, shown

Annotation = Any
"""A type as it stands in a class: a class, an `Annotated`, a union or a generic alias; Python has no closer common type."""


def check(raw: object, annotation: Annotation, path: ValuePath = ()) -> Iterator[Problem]:
    """Yield a problem for everything in `raw` that `annotation` does not allow; `path` is where `raw` stands.

    >>> from server.settings import Settings
    >>> for problem in check({"server": {"prot": 1, "port": "x"}}, Settings):
    ...     print(problem)
    server.port: expected an integer from 0 to 65535, got "x"
    server.prot: no such setting. Did you mean port?
    """
    plain = without_metadata(annotation)
    origin: object = get_origin(plain)
    arguments = get_args(plain)
    if structs := structs_of(plain):
        yield from _check_table(raw, structs, path)
    elif origin is Mapping:
        yield from _check_named(raw, arguments[1], path)
    elif is_array_of_tables(annotation):
        yield from _check_array(raw, annotation, arguments[0], path)
    elif not is_valid(raw, annotation):
        got = "" if is_private(annotation) else f", got {shown(raw)}"
        yield Problem(format_path(path), f"expected {expected(annotation)}{got}")


def without_metadata(annotation: Annotation) -> Annotation:
    """The type inside an `Annotated`, or the type itself."""
    origin: object = get_origin(annotation)
    return get_args(annotation)[0] if origin is Annotated else annotation


def structs_of(plain: Annotation) -> tuple[type[msgspec.Struct], ...]:
    """The struct, or the structs of a union, that a table is checked against; empty for every other type."""
    origin: object = get_origin(plain)
    members = get_args(plain) if origin is Union or origin is types.UnionType else (plain,)
    structs = tuple(member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct))
    return structs if len(structs) == len(members) else ()


def settings_of(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields that are settings: all but those that hold a secret, which no file and no variable of ours says."""
    return tuple(field for field in msgspec.structs.fields(struct) if Secret not in get_args(field.type))


def is_array_of_tables(annotation: Annotation) -> bool:
    """Whether a setting is an array of structs."""
    plain = without_metadata(annotation)
    origin: object = get_origin(plain)
    return origin is tuple and bool(structs_of(without_metadata(get_args(plain)[0])))


def is_private(annotation: Annotation) -> bool:
    """Whether a value may be a key, and so is not shown."""
    metas = [data for data in get_args(annotation)[1:] if isinstance(data, msgspec.Meta)]
    return any(meta.extra is not None and bool(meta.extra.get("private")) for meta in metas)


def is_valid(raw: object, annotation: Annotation) -> bool:
    """Whether a single value has the type and keeps the bounds."""
    try:
        msgspec.convert(raw, annotation)
    except msgspec.ValidationError:
        return False
    return True


def _check_table(raw: object, structs: tuple[type[msgspec.Struct], ...], path: ValuePath) -> Iterator[Problem]:
    table = as_table(raw)
    if table is None:
        yield Problem(format_path(path), f"expected a table, got {_shape(raw)}")
        return
    struct, tag_field = structs[0], structs[0].__struct_config__.tag_field
    if tag_field is not None:
        by_tag = {str(kind.__struct_config__.tag): kind for kind in structs}
        given = table.get(tag_field)
        if not isinstance(given, str) or given not in by_tag:
            what = "it is missing" if tag_field not in table else f"got {shown(given)}"
            yield Problem(format_path((*path, tag_field)), f"expected {listed(map(format_value, by_tag))}, {what}")
            return
        struct = by_tag[given]
        table = {key: value for key, value in table.items() if key != tag_field}
    fields = {field.encode_name: field for field in settings_of(struct)}
    for name, field in fields.items():
        if name in table:
            yield from check(table[name], field.type, (*path, name))
        elif field.required:
            yield Problem(format_path((*path, name)), f"expected {expected(field.type)}, it is missing")
    for name in table:
        if name not in fields:
            hint = nearest(name, fields) or f" There {'are' if len(fields) > 1 else 'is'} {listed(fields, 'and')}."
            yield Problem(format_path((*path, name)), f"no such setting.{hint}")


def _check_named(raw: object, item: Annotation, path: ValuePath) -> Iterator[Problem]:
    table = as_table(raw)
    if table is None:
        yield Problem(format_path(path), f"expected a table, got {_shape(raw)}")
        return
    for name, value in table.items():
        if not name:
            yield Problem(format_path((*path, name)), "expected a name that is not empty")
        yield from check(value, item, (*path, name))


def _check_array(raw: object, annotation: Annotation, item: Annotation, path: ValuePath) -> Iterator[Problem]:
    bounds = _described(annotation)
    least, most = (bounds.min_length or 0, bounds.max_length) if isinstance(bounds, inspect.VarTupleType) else (0, None)
    if not isinstance(raw, list | tuple):
        yield Problem(format_path(path), f"expected {expected(annotation)}, got {_shape(raw)}")
        return
    rows = cast("Sequence[object]", raw)
    if len(rows) < least or (most is not None and len(rows) > most):
        yield Problem(format_path(path), f"expected {expected(annotation)}, got {len(rows)}")
    for index, row in enumerate(rows):
        yield from check(row, item, (*path, index))


def _shape(raw: object) -> str:
    """What stands where a table is expected. A text or an array there may be a key, and is not shown."""
    return "text" if isinstance(raw, str) else "an array" if isinstance(raw, list | tuple) else shown(raw)


def as_table(raw: object) -> dict[str, object] | None:
    """A TOML table, or None where something else stands; TOML's keys are always strings."""
    return cast("dict[str, object]", raw) if isinstance(raw, dict) else None


def _described(annotation: Annotation) -> inspect.Type:
    described = inspect.type_info(annotation)
    return described.type if isinstance(described, inspect.Metadata) else described


def expected(annotation: Annotation) -> str:
    """Say in words what values a setting takes.

    >>> from server.settings import Server
    >>> [expected(field.type) for field in msgspec.structs.fields(Server)[:3]]
    ['text that is not empty', 'an integer from 0 to 65535', 'an integer from 1 to 256']
    """
    return _said(_described(annotation))


def _said(described: inspect.Type) -> str:
    match described:
        case inspect.Metadata(inner):
            return _said(inner)
        case inspect.UnionType(types):
            return listed(_said(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() as number:
            return f"an integer{_bounds(number)}"
        case inspect.FloatType() as number:
            return f"a number{_bounds(number)}"
        case inspect.StrType(least):
            return "text that is not empty" if least else "text"
        case inspect.LiteralType(values):
            return listed(map(format_value, values))
        case inspect.VarTupleType(item, least, most):
            if isinstance(item, inspect.StructType):
                return "an array of one table" if least == most == 1 else "an array of tables"
            if isinstance(item, inspect.LiteralType):
                return f"an array of {listed(map(format_value, item.values))}"
            return "an array of text that is not empty" if least else "an array of text"
        case inspect.TupleType(items):
            return f"an array of {len(items)} values, each {listed(dict.fromkeys(map(_said, items)))}"
        case inspect.DictType():
            return "a table of text"
        case _:
            return "a table"


def _bounds(number: inspect.IntType | inspect.FloatType) -> str:
    low, above, high = number.ge, number.gt, number.le
    if low is not None:
        return f" from {format_value(low)} to {format_value(high)}" if high is not None else f" of at least {format_value(low)}"
    if above is not None:
        return f" above {format_value(above)}" + (f", at most {format_value(high)}" if high is not None else "")
    return ""


def description(annotation: Annotation) -> str:
    """The line that stands beside a setting.

    >>> description(Annotated[int, msgspec.Meta(ge=1), msgspec.Meta(description="how many")])
    'how many'
    """
    lines = [data.description for data in get_args(annotation)[1:] if isinstance(data, msgspec.Meta) and data.description]
    return lines[-1] if lines else ""
