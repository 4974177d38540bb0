"""Write settings for people: the values in force as TOML (`penstock config show`) and the reference in Markdown (`penstock config docs`).

`show` writes a file that reads back as the same settings, with a comment above each table that says which values were set where. The reference is
made from the classes in `server.settings` alone: their order, types, defaults and descriptions.
"""

from collections.abc import Iterator, Mapping
from typing import get_args

import msgspec
import tomli_w

from server.config import Loaded
from server.config_schema import Annotation, description, expected, structs_of, without_metadata
from server.environment import variable_name
from server.problems import format_value
from server.settings import Settings

INTRODUCTION = """\
# Settings

<!-- Printed by `penstock config docs`; a test compares. Change the classes in server/settings.py, not this file. -->

A value is taken from the first of these that sets it:

1. the command line (`penstock serve --host H --port N --workers N`),
2. the environment: `PENSTOCK_SECTION__KEY`, and `PORT`; a list is written with commas. A `.env` file in the working directory counts as environment
   that the real one overrides; its values are taken literally,
3. one TOML file: `--config FILE`, else `PENSTOCK_CONFIG`, else `./penstock.toml`, else `~/.config/penstock/penstock.toml`,
4. the defaults below.

With no file and no variables one upstream, `captured`, answers for every model from recorded answers, on the loopback address, and asks for no key.

An unknown key or variable, a wrong type or a value out of bounds stops the start. `penstock config check` names everything that is wrong, and
`penstock config show` prints the values in force and where each was set.

```toml
# penstock.toml
[server]
port = 9000

[upstreams.demo]
kind = "captured"
pace_seconds = 0

[routes."composer-2.5"]
targets = [{ upstream = "demo", model = "*" }]

[aliases]
composer = "composer-2.5"
```
"""


def show(loaded: Loaded) -> str:
    """The values in force as TOML, which reads back as the same settings."""
    values: dict[str, object] = msgspec.to_builtins(loaded.settings)
    parts = [f"# file: {_on_one_line(str(loaded.file))}\n" if loaded.file is not None else "# file: none\n"]
    parts += [f"{_origins(section, loaded.origins)}{tomli_w.dumps({section: value})}" for section, value in values.items()]
    return "\n".join(parts)


def _origins(section: str, origins: Mapping[str, str]) -> str:
    """One comment line for each place that set something in the section."""
    keys: dict[str, list[str]] = {}
    for path, origin in origins.items():
        if path == section or path.startswith(f"{section}."):
            keys.setdefault(origin, []).append(path.removeprefix(f"{section}."))
    return "".join(f"# set by {_on_one_line(origin)}: {_on_one_line(', '.join(paths))}\n" for origin, paths in keys.items()) or "# defaults\n"


def _on_one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def reference() -> str:
    """The reference of all settings, in Markdown."""
    parts = [INTRODUCTION]
    for field in msgspec.structs.fields(Settings):
        plain = without_metadata(field.type)
        if structs := structs_of(plain):
            parts.append(_section(f"[{field.encode_name}]", description(field.type), structs[0], field.encode_name))
            continue
        parts.append(f"## [{field.encode_name}]\n\n{description(field.type)}\n")
        kinds = structs_of(get_args(plain)[1])
        parts += (_section(_title(field.encode_name, kind), _summary(kind), kind, None) for kind in kinds)
    return "\n".join(parts)


def _title(table: str, struct: type[msgspec.Struct]) -> str:
    tag = struct.__struct_config__.tag
    return f"[{table}.NAME], kind = {format_value(tag)}" if tag is not None else f'[{table}."MODEL ID"]'


def _summary(struct: type[msgspec.Struct]) -> str:
    return (struct.__doc__ or "").partition("\n")[0]


def _section(title: str, summary: str, struct: type[msgspec.Struct], section: str | None) -> str:
    """A heading and a table of one struct; `section` is the fixed section that it is, which gives its keys variables."""
    level = "##" if section is not None else "###"
    columns = ["Key", "Value", "Default", *(["Variable"] if section is not None else []), "What it does"]
    rows = [columns, ["---"] * len(columns), *_rows(struct, section)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{level} {title}\n\n{summary}\n\n{lines}\n"


def _rows(struct: type[msgspec.Struct], section: str | None, prefix: str = "") -> Iterator[list[str]]:
    for field in msgspec.structs.fields(struct):
        key = f"{prefix}{field.encode_name}"
        inner = _inner(field.type)
        if inner is not None and structs_of(without_metadata(field.type)):
            yield from _rows(inner, section, f"{key}.")
            continue
        default = f"`{format_value(field.default)}`" if not field.required else "required"
        variable = [f"`{variable_name(section, field.encode_name)}`"] if section is not None else []
        yield [f"`{key}`", expected(field.type), default, *variable, description(field.type)]
        if inner is not None:
            yield from _rows(inner, section, f"{key}[].")


def _inner(annotation: Annotation) -> type[msgspec.Struct] | None:
    """The struct that a key holds, by itself or in an array."""
    plain = without_metadata(annotation)
    structs = structs_of(plain) or structs_of(next(iter(get_args(plain)), None))
    return structs[0] if structs else None
