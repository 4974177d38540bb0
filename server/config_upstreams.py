"""Upstreams by environment variables: `CURSOR_*` make one for Composer, `OPENAI_*` for Chat Completions, and `KILO_TOOL_STRICT` is about all of them.

The raw tree of the file and the variables come in; tables of upstreams and routes are added to the tree, and where each value is from is returned.
What the file says stays. An empty variable counts as not set.

- `CURSOR_*` fill what is missing in the file's one upstream of kind `composer`. If the file has none, `CURSOR_BACKEND_BASE_URL` and
  `CURSOR_CHAT_ENDPOINT` make one, `composer`, and routes to it for the models of Composer that the file does not route.
- `OPENAI_BASE_URL` makes an upstream `openai`, and with `OPENAI_API_KEY` that key is sent there; every model that is not Composer's goes to it. Other
  programs read these variables too, so that a file that names upstreams or routes is left alone by them.
- `ANTHROPIC_*` make none: clients are pointed at this gateway with them.
- `KILO_TOOL_STRICT` is the `tools.strict` of every upstream that has one and whose table does not say it, of those that are made here too.
"""

from collections.abc import Mapping

import msgspec

from pipeline.models import ALIASES, LISTED
from server.config_schema import as_table, settings_of, structs_of, without_metadata
from server.environment import Variable, is_text, value_of
from server.problems import Problem, format_path, shown
from server.settings import embedded_upstreams, route_everything_to, route_to
from server.upstream_settings import Upstream

COMPOSER = "composer"
OPENAI = "openai"

COMPOSER_VARIABLES = {
    "CURSOR_BACKEND_BASE_URL": "base_url",
    "CURSOR_CHAT_ENDPOINT": "endpoint",
    "CURSOR_API_BASE": "api_base",
    "CURSOR_CLIENT_VERSION": "client_version",
}
COMPOSER_MAKERS = ("CURSOR_BACKEND_BASE_URL", "CURSOR_CHAT_ENDPOINT")
OPENAI_VARIABLES = {"OPENAI_BASE_URL": "base_url", "OPENAI_API_KEY": "api_key_env"}
STRICT_VARIABLE = "KILO_TOOL_STRICT"

COMPOSER_MODELS = tuple(dict.fromkeys((*LISTED.split(), *filter(None, ALIASES))))
"""The ids that are routed to `composer` when it is not the only upstream. Composer's website lists more, but others serve those too."""


def _has_strict(kind: type[msgspec.Struct]) -> bool:
    """Whether a kind's table has `tools.strict`."""
    tools = [structs_of(without_metadata(field.type)) for field in settings_of(kind) if field.encode_name == "tools"]
    return any("strict" in struct.__struct_fields__ for structs in tools for struct in structs)


STRICT_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in structs_of(Upstream) if _has_strict(kind))
"""The kinds whose table has `tools.strict`."""


def add_upstreams(tree: dict[str, object], variables: Mapping[str, Variable], problems: list[Problem]) -> dict[str, str]:
    """Add what the variables make to `tree`.

    Returns:
        For the dotted path of each value that was added, the variable that it is from.
    """
    names = (*COMPOSER_VARIABLES, *OPENAI_VARIABLES, STRICT_VARIABLE)
    given = {name: variable for name in names if (variable := variables.get(name)) is not None}
    unreadable = [name for name, variable in given.items() if not is_text(variable.text)]
    problems += (Problem(given[name].origin, "expected text in UTF-8") for name in unreadable)
    given = {name: variable for name, variable in given.items() if name not in unreadable}
    by_openai = "upstreams" not in tree and "routes" not in tree and "OPENAI_BASE_URL" in given and bool(given["OPENAI_BASE_URL"].text)
    added = _composer(tree, given, problems, is_alone=not by_openai) | (_openai(tree, given) if by_openai else {})
    return added | _strict(tree, given.get(STRICT_VARIABLE), problems)


def _composer(tree: dict[str, object], given: Mapping[str, Variable], problems: list[Problem], *, is_alone: bool) -> dict[str, str]:
    values = {key: given[name] for name, key in COMPOSER_VARIABLES.items() if name in given and given[name].text}
    upstreams = as_table(tree.get("upstreams", {}))
    if not values or upstreams is None:
        return {}
    own = [name for name, table in upstreams.items() if (as_table(table) or {}).get("kind") == "composer"]
    if not own:
        missing = [name for name in COMPOSER_MAKERS if COMPOSER_VARIABLES[name] not in values]
        if len(missing) == 1:
            problems.append(
                Problem(missing[0], "it is not set; it and the other of CURSOR_BACKEND_BASE_URL and CURSOR_CHAT_ENDPOINT make an upstream")
            )
        if missing:
            return {}
        if COMPOSER in upstreams:
            message = f"{' and '.join(COMPOSER_MAKERS)} make an upstream of this name and of kind composer; give this one another name, or unset them"
            problems.append(Problem(format_path(("upstreams", COMPOSER)), message))
            return {}
        _route(tree, upstreams, is_alone=is_alone)
        upstreams[COMPOSER] = {"kind": "composer"}
        tree["upstreams"] = upstreams
        own = [COMPOSER]
    table = as_table(upstreams[own[0]]) or {}
    missing = [key for key in values if not table.get(key)] if len(own) == 1 else []
    table |= {key: values[key].text for key in missing}
    return {format_path(("upstreams", own[0], key)): values[key].origin for key in missing}


def _route(tree: dict[str, object], upstreams: Mapping[str, object], *, is_alone: bool) -> None:
    """Route Composer's models to the upstream that is about to be added; one that stays alone gets every model by default."""
    if is_alone and not upstreams and "routes" not in tree:
        return
    by_default = route_everything_to(next(iter(upstreams))) if len(upstreams) == 1 and "routes" not in tree else {}
    routes = as_table(tree.setdefault("routes", msgspec.to_builtins(by_default)))
    if routes is not None:
        for model in COMPOSER_MODELS:
            routes.setdefault(model, msgspec.to_builtins(route_to(COMPOSER)))


def _openai(tree: dict[str, object], given: Mapping[str, Variable]) -> dict[str, str]:
    given = {name: variable for name, variable in given.items() if variable.text}
    values = {"base_url": given["OPENAI_BASE_URL"].text} | ({"api_key_env": "OPENAI_API_KEY"} if "OPENAI_API_KEY" in given else {})
    for section, added in (("upstreams", {OPENAI: {"kind": "openai-chat", **values}}), ("routes", msgspec.to_builtins(route_everything_to(OPENAI)))):
        table = as_table(tree.setdefault(section, {}))
        if table is not None:
            table |= added
    return {format_path(("upstreams", OPENAI, key)): given[name].origin for name, key in OPENAI_VARIABLES.items() if name in given}


def _strict(tree: dict[str, object], variable: Variable | None, problems: list[Problem]) -> dict[str, str]:
    if variable is None or not variable.text.strip():
        return {}
    value = value_of(variable.text.strip(), bool)
    if not isinstance(value, bool):
        problems.append(Problem(variable.origin, f"expected true or false, got {shown(variable.text)}"))
        return {}
    embedded = {name: {"kind": str(upstream.__struct_config__.tag)} for name, upstream in embedded_upstreams().items()}
    upstreams = as_table(tree.get("upstreams", embedded)) or {}
    added: dict[str, str] = {}
    for name, table in ((name, as_table(table) or {}) for name, table in upstreams.items()):
        kind = table.get("kind")
        tools = as_table(table.setdefault("tools", {})) if isinstance(kind, str) and kind in STRICT_KINDS else None
        if tools is not None and "strict" not in tools:
            tools["strict"] = value
            added[format_path(("upstreams", name, "tools", "strict"))] = variable.origin
    if added:
        tree["upstreams"] = upstreams
    return added
