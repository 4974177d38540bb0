"""A value for a JSON Schema: arguments that a tool would accept, in the words of the person who asked.

Theory of operation: a schema and a message come in, one value goes out. References, `allOf` and the chosen member of `anyOf` or `oneOf` (the first
that is not null) are laid over each other into one flat schema (`pipeline.upstream.flatten`), and then each type has one maker. An object gets its
required properties, and where nothing is required, its first. Strings take their words from the message by the name of their property
(`pipeline.upstream.hints`), then the schema's default and examples, then the first words of the message.

Invariants: nothing raises and everything ends, however the schema is made: the depth and the number of values are bounded. The value is the same for
the same schema and message. It is valid under schemas of the kinds that tools have: type, enum, const, properties, required, items, prefixItems,
bounds, multipleOf, lengths, common formats, simple patterns, uniqueItems of scalars. Left alone, so that the value may not be valid: `not`, `if`,
`dependent…`, `contains`, `patternProperties`, patterns that `pipeline.upstream.patterns` does not read, members of `oneOf` that overlap, more than
`MAX_ITEMS` items or `MAX_STRING_CHARS` characters, and a format or pattern of a string that would be run as a command: that one is always our own.
"""

from collections.abc import Sequence

from pipeline.request import Json
from pipeline.upstream.flatten import Flattener, is_array, is_object
from pipeline.upstream.hints import HARMLESS_COMMAND, Hint, is_command
from pipeline.upstream.numbers import number_for, plain_number
from pipeline.upstream.patterns import example_of

MAX_DEPTH = 12
MAX_OPTIONAL_DEPTH = 4
MAX_VALUES = 500
MAX_ITEMS = 64
MAX_STRING_CHARS = 4_096

# `format` -> what is right for it whatever the message says
FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "https://example.com/",
    "iri": "https://example.com/",
    "email": "someone@example.com",
    "idn-email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "6f1c2a70-3b1e-4b57-9d0a-2c5d8e9f0a1b",
    "json-pointer": "/",
    "regex": "penstock",
    "binary": "",
    "byte": "cGVuc3RvY2s=",
}
# formats of which the message may have one: under this name the hint finds it, or gives the same fallback
_FORMATS_IN_MESSAGE = {"date": "date", "uri": "url", "url": "url", "email": "email"}


def sample_arguments(schema: dict[str, Json], hint: str, *, new_file: str = "README.md") -> dict[str, Json]:
    """Arguments for a tool whose `parameters` are `schema`.

    Args:
        schema: a JSON Schema of an object; `{}` is one without properties.
        hint: the message from which words are taken.
        new_file: a file's name for where the message has none.

    >>> weather = {"type": "object", "properties": {"location": {"type": "string"}, "days": {"type": "integer", "minimum": 2}}}
    >>> sample_arguments({**weather, "required": ["location", "days"]}, "What is the weather in Boston, MA today?")
    {'location': 'Boston, MA', 'days': 2}
    """
    value = _Sampler(schema, Hint(hint, new_file=new_file)).value({**schema, "type": "object"}, "", 0)
    return value if is_object(value) else {}


def sample_value(schema: dict[str, Json], hint: str) -> Json:
    """Any value that is valid under the schema."""
    return _Sampler(schema, Hint(hint)).value(schema, "", 0)


class _Sampler:
    """One value in the making."""

    def __init__(self, root: dict[str, Json], hint: Hint) -> None:
        self._flattener = Flattener(root)
        self._hint = hint
        self._values_left = MAX_VALUES

    def value(self, schema: Json, name: str, depth: int, nth: int = 0) -> Json:
        """A value under the schema for a property called `name`; `nth` counts the items of an array whose items must differ."""
        self._values_left -= 1
        flat = self._flattener.flatten(schema)
        if "const" in flat:
            return flat["const"]
        kinds = _kinds(flat)
        if is_array(members := flat.get("enum")) and members:
            fitting = [member for member in members if any(_is_kind(member, kind) for kind in kinds)] or members
            fitting = [member for member in fitting if member is not None] or fitting
            return fitting[nth % len(fitting)]
        kind = next((kind for kind in kinds if kind != "null"), "null")
        if kind == "object":
            return self._object(flat, depth, nth)
        if kind == "array":
            return self._array(flat, name, depth)
        if kind == "string":
            return self._string(flat, name, nth)
        given = _given(flat, kind)
        if kind == "boolean":
            return nth % 2 == 1 if nth or given is None else given
        if kind == "null":
            return None
        wanted: list[Json] = [] if nth else [given] if given is not None else [plain_number(text) for text in _next(self._hint)]
        return number_for(flat, wanted, integer=kind == "integer", nth=nth)

    def _is_spent(self, depth: int) -> bool:
        return depth >= MAX_DEPTH or self._values_left <= 0

    # -- objects and arrays ----------------------------------------------------------------------------------------------------------------------

    def _object(self, flat: dict[str, Json], depth: int, nth: int) -> dict[str, Json]:
        if self._is_spent(depth):
            return {}
        properties = found if is_object(found := flat.get("properties")) else {}
        names = [key for key in found if isinstance(key, str)] if is_array(found := flat.get("required")) else []
        least, most = min(_count(flat, "minProperties", 0), MAX_ITEMS), _count(flat, "maxProperties", MAX_ITEMS)
        if not names and depth < MAX_OPTIONAL_DEPTH and most > 0:
            names = list(properties)[:1]
        for key in properties:
            if len(set(names)) >= least:
                break
            names.append(key)
        for number in range(1, least - len(set(names)) + 1):
            names.append(f"key{number}")
        other = flat.get("additionalProperties", {})
        return {key: self.value(properties.get(key, other), key, depth + 1, nth) for key in dict.fromkeys(names)}

    def _array(self, flat: dict[str, Json], name: str, depth: int) -> list[Json]:
        heads, items = flat.get("prefixItems"), flat.get("items", {})
        if is_array(items):  # tuples as they were written before prefixItems
            heads, items = items, flat.get("additionalItems", {})
        first: Sequence[Json] = heads if is_array(heads) else ()
        least, most = min(_count(flat, "minItems", 0), MAX_ITEMS), _count(flat, "maxItems", MAX_ITEMS)
        if self._is_spent(depth):
            return []
        if is_command(name) and not first and most >= len(HARMLESS_COMMAND) >= least and "string" in _kinds(self._flattener.flatten(items)):
            return list(HARMLESS_COMMAND)
        length = max(least, len(first), 1 if items is not False and depth < MAX_OPTIONAL_DEPTH else 0)
        unique = flat.get("uniqueItems") is True
        schemas = [*first, *[items] * (length - len(first))]
        return [self.value(item, name, depth + 1, at if unique else 0) for at, item in enumerate(schemas[: min(length, most, MAX_ITEMS)])]

    # -- strings ---------------------------------------------------------------------------------------------------------------------------------

    def _string(self, flat: dict[str, Json], name: str, nth: int) -> str:
        text = self._words(flat, name)
        least = min(_count(flat, "minLength", 0), MAX_STRING_CHARS)
        most = _count(flat, "maxLength", MAX_STRING_CHARS)
        ending = f" {nth + 1}" if nth else ""
        if flat.get("format") == "uuid":
            text, ending = text[: len(text) - 3 * (nth > 0)] + (f"{nth:03d}" if nth else ""), ""
        if len(text) + len(ending) < least:
            text = (text + " " + "penstock " * (least // 9 + 1))[: least - len(ending) - 1] + "k"
        return text[: max(0, most - len(ending))] + ending[:most]

    def _words(self, flat: dict[str, Json], name: str) -> str:
        form, pattern = flat.get("format"), flat.get("pattern")
        if is_command(name):
            return self._hint.wording(name) or ""
        if isinstance(pattern, str):
            given = _given(flat, "string") or example_of(pattern)
            if isinstance(given, str):
                return given
        if isinstance(form, str) and form in FORMATS:
            return self._hint.wording(_FORMATS_IN_MESSAGE.get(form, ""), "") or FORMATS[form]
        description = flat.get("description")
        worded = self._hint.wording(name, description if isinstance(description, str) else "")
        given = _given(flat, "string")
        return worded or (given if isinstance(given, str) else None) or self._hint.short()


def _next(hint: Hint) -> list[str]:
    found = next(hint.numbers, None)
    return [] if found is None else [found]


def _given(flat: dict[str, Json], kind: str) -> Json:
    """The schema's own example of a scalar: its default, else the first of its examples; None when there is none of the right kind."""
    examples = flat.get("examples")
    for value in [flat.get("default"), *(examples[:1] if is_array(examples) else ())]:
        if _is_kind(value, kind) and (not isinstance(value, str) or _count(flat, "minLength", 0) <= len(value) <= MAX_STRING_CHARS):
            return value
    return None


def _count(flat: dict[str, Json], word: str, absent: int) -> int:
    value = flat.get(word)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 31 else absent


# a keyword that only makes sense for one type -> that type, for schemas that do not say
_IMPLIED = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "minProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "multipleOf": "number",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def _kinds(flat: dict[str, Json]) -> list[str]:
    """The types that the schema allows, in its own order."""
    declared = flat.get("type")
    names = [declared] if isinstance(declared, str) else declared if is_array(declared) else []
    kinds = [name for name in names if isinstance(name, str) and name in _KINDS]
    if kinds:
        return kinds
    if is_array(flat.get("enum")):
        return list(_KINDS)
    implied = next((kind for word, kind in _IMPLIED.items() if word in flat), None)
    return [implied or "string"]


def _is_kind(value: Json, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind])
