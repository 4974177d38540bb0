"""Write settings for people: the values in force as TOML (`penstock config show`) and the reference in Markdown (`penstock config docs`).

`show` writes a file that reads back as the same settings, with a comment above each table that says which values were set where. Keys are not in it,
since the settings only say where they are; the values of headers that carry credentials are written as `***`. The reference is made from the classes
in `server.settings` and `server.upstream_settings` alone: their order, types, defaults and descriptions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast, get_args

import msgspec
import tomli_w

from pipeline.credential import Secret
from server.config import Loaded
from server.config_destinations import CREDENTIAL_NAME, MASK
from server.config_schema import Annotation, as_table, description, expected, settings_of, structs_of, without_metadata
from server.environment import VARIABLES, variable_name
from server.problems import format_value
from server.settings import Settings

INTRODUCTION = """\
# Settings

<!-- Printed by `penstock config docs`; a test compares. Change server/settings.py, upstream_settings.py and config_text.py, not this file. -->

A value is taken from the first of these that sets it:

1. the command line (`penstock serve --host H --port N --workers N`),
2. the environment: `PENSTOCK_SECTION__KEY`, and `PORT`; a list is written with commas. A `.env` file in the working directory counts as environment
   that the real one overrides; its values are taken literally. Upstreams, routes, aliases and keys are set in the file,
3. one TOML file: `--config FILE`, else `PENSTOCK_CONFIG`, else `./penstock.toml`, else `~/.config/penstock/penstock.toml`,
4. the defaults below.

With no file and no variables one upstream, `captured`, answers for every model from recorded answers, on the loopback address, and asks for no key.

These variables make upstreams, or complete them; an empty one counts as not set:

- `CURSOR_BACKEND_BASE_URL` and `CURSOR_CHAT_ENDPOINT` make an upstream `composer` when the file has none of that kind, and Composer's models are
  routed to it, those that the file routes excepted. With `CURSOR_API_BASE` and `CURSOR_CLIENT_VERSION` they also fill what is missing in the file's
  one upstream of that kind.
- `OPENAI_BASE_URL` makes an upstream `openai` of kind `openai-chat`, which serves every other model, when the file names neither upstreams nor
  routes. `OPENAI_API_KEY`, if it is set, is its key. With these two alone, the default of `auth.mode` is `open`, on a loopback address only.
- `ANTHROPIC_BASE_URL` and `ANTHROPIC_API_KEY` make none: they are what clients are pointed at this gateway with, so that one that took them for its
  upstream would ask itself. An upstream's `api_key_env` may name the latter.
- `KILO_TOOL_STRICT`, `true` or `false`, is the `tools.strict` of every upstream that has this key and does not set it.

No key stands in the file. `api_key_env` names the variable that holds an upstream's own key, `api_key_file` the file; `hash` is what
`penstock keys new` prints beside a fresh key. A key that is empty, short or a well-known word stops the start, and so does what would let strangers
use an upstream or read a key: no key asked for beyond a loopback address, an upstream that does not get the caller's key behind
`auth.mode = "forward"` there, a key sent over plain HTTP to another machine.

An unknown key or variable, a wrong type or a value out of bounds stops the start. `penstock config check` names everything that is wrong, and
`penstock config show` prints the values in force and where each was set. `penstock.example.toml` has whole set-ups to start from: servers of your
own, OpenRouter, DeepSeek, Azure, Cursor's own models, Anthropic.

```toml
# penstock.toml
[server]
port = 9000

[upstreams.demo]
kind = "captured"
pace_seconds = 0

[upstreams.local]
kind = "openai-chat"
base_url = "http://127.0.0.1:8000/v1"

[routes."composer-2.5"]
targets = [{ upstream = "demo", model = "*" }]

[routes."*"]
targets = [{ upstream = "local", model = "*" }]

[aliases]
composer = "composer-2.5"
```
"""


def show(loaded: Loaded) -> str:
    """The values in force as TOML, which reads back as the same settings."""
    values = cast("dict[str, object]", _written(msgspec.to_builtins(loaded.settings, enc_hook=_hide)))
    _mask_headers(as_table(values["upstreams"]) or {})
    parts = [f"# file: {_on_one_line(str(loaded.file))}\n" if loaded.file is not None else "# file: none\n"]
    parts += [f"{_origins(section, loaded.origins)}{tomli_w.dumps({section: value})}" for section, value in values.items()]
    return "\n".join(parts)


def _hide(value: object) -> None:
    """Keys are left out, like what is not set: they are no part of a file."""
    if not isinstance(value, Secret):
        raise NotImplementedError(f"TOML has no {type(value).__name__}")


def _written(value: object) -> object:
    """The value as a file has it: what is not set is left out."""
    table = as_table(value)
    if table is not None:
        return {name: _written(inner) for name, inner in table.items() if inner is not None}
    return [_written(each) for each in cast("Sequence[object]", value)] if isinstance(value, list | tuple) else value


def _mask_headers(upstreams: Mapping[str, object]) -> None:
    for upstream in upstreams.values():
        headers = as_table((as_table(upstream) or {}).get("headers")) or {}
        for name in headers:
            if CREDENTIAL_NAME.search(name):
                headers[name] = MASK


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
    for field in settings_of(struct):
        key = f"{prefix}{field.encode_name}"
        inner = _inner(field.type)
        if inner is not None and structs_of(without_metadata(field.type)):
            yield from _rows(inner, section, f"{key}.")
            continue
        name = variable_name(section, key) if section is not None else ""
        variable = [f"`{name}`" if name in VARIABLES else "–"] if section is not None else []
        yield [f"`{key}`", expected(field.type), _default(field), *variable, description(field.type)]
        if inner is not None:
            yield from _rows(inner, section, f"{key}[].")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default: object = field.default if field.default is not msgspec.NODEFAULT else cast("Callable[[], object]", field.default_factory)()
    return "not set" if default is None else f"`{format_value(default)}`" if default != {} else "`{}`"


def _inner(annotation: Annotation) -> type[msgspec.Struct] | None:
    """The struct that a key holds, by itself or in an array."""
    plain = without_metadata(annotation)
    structs = structs_of(plain) or structs_of(next(iter(get_args(plain)), None))
    return structs[0] if structs else None
