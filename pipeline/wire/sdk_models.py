"""The models of the SDK: its list of models with parameters, as ids that a client can name, and back.

Theory of operation: a model of the SDK has an id and parameters (`fast`, `effort`, …), and its list tells the combinations that there are, the
variants. A client of ours has nothing but an id, so each variant gets one: `read_models` reads the list, and `selection_for` turns an id, with a wish
for an effort, into the id and the parameters that the SDK takes. What is known of such a model otherwise (`pipeline.models`) is asked by `as_model`.

The id of a variant is the model's and a suffix for each parameter whose value is not the plain one. A parameter that can be `false` is plain when it
is, so that `composer-2.5` is never the fast one, which costs six times as much, whichever the SDK would choose; of any other the default variant's
value is plain. `true` adds `-<parameter>`, any other value `-<value>`. An id that two variants would share is told apart by naming the parameter too.

Without a list there are two models whose parameters are known, those of `_KNOWN`; any other id is the SDK's to judge.

Invariants: ids are unique, printable and bounded, and so is the list; what in it cannot be read is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.models import DEFAULT_MODEL, FAST_MODEL, MODELS, OWNERS, PREFIXES, Model, resolve_composer_model
from pipeline.request import Json
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object, decode_json

MAX_MODELS = 1000
MAX_VARIANTS = 64
MAX_PARAMS = 16
MAX_ID_CHARS = 128

_ID = re.compile(rf"[A-Za-z0-9][\w.:/+@-]{{0,{MAX_ID_CHARS - 1}}}", re.ASCII)
_WORD = re.compile(r"[\w.:+@-]{1,64}", re.ASCII)


class Selection(msgspec.Struct, frozen=True):
    """What the SDK is told of the model: its id, and the value of each parameter."""

    id: str
    params: tuple[tuple[str, str], ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """One variant. `id` is what a client writes; `is_default` says that it is the one that the SDK takes where it is told the model alone."""

    id: str
    name: str
    description: str
    selection: Selection
    is_default: bool = True


# What the two Composer models are without a list.
_KNOWN = {
    DEFAULT_MODEL: Selection(DEFAULT_MODEL, (("fast", "false"),)),
    FAST_MODEL: Selection(DEFAULT_MODEL, (("fast", "true"),)),
}


class _Variant(msgspec.Struct, frozen=True):
    params: tuple[tuple[str, str], ...]
    name: str
    description: str
    is_default: bool


def read_models(body: bytes) -> tuple[Listed, ...]:
    """The variants of all models in the answer of `ListModels`, in its order, the default one of a model first. Raises ProtocolViolation.

    >>> variant = '{"params": [{"id": "fast", "value": "%s"}], "displayName": "%s"}'
    >>> variants = ", ".join(variant % value for value in [("true", "Fast"), ("false", "Slow")])
    >>> for listed in read_models(b'{"items": [{"id": "composer-2.5", "variants": [%s]}]}' % variants.encode()):
    ...     print(listed.id, listed.selection.params)
    composer-2.5-fast (('fast', 'true'),)
    composer-2.5 (('fast', 'false'),)
    """
    fields = decode_json(body)
    # protobuf leaves out an empty list
    if not isinstance(fields, dict) or not isinstance(as_object(fields).get("items", []), list):
        raise ProtocolViolation("The bridge's list of models is not in the form of its protocol.")
    items = [as_object(item) for item in as_list(as_object(fields).get("items"))[:MAX_MODELS]]
    bases = {base for item in items if isinstance(base := item.get("id"), str)}
    found: dict[str, Listed] = {}
    for item in items:
        for listed in _variants_of(item, bases, found):
            found[listed.id] = listed
    return tuple(found.values())


def selection_for(model_id: str, effort: str | None = None, listed: Sequence[Listed] = ()) -> Selection:
    """What the SDK is told for a client's id, and for an effort where the model has a variant of that name. Never raises: the SDK has the last word.

    >>> selection_for("cursor/composer-2-5-fast"), selection_for("gpt-9")
    (Selection(id='composer-2.5', params=(('fast', 'true'),)), Selection(id='gpt-9', params=()))
    """
    wanted = model_id.strip()
    bare = next((wanted[len(prefix) :] for prefix in PREFIXES if wanted.lower().startswith(prefix)), wanted)
    resolved = resolve_composer_model(wanted)
    names = [name.lower() for name in (wanted, bare, resolved) if name]
    match = next((each for name in names for each in listed if each.id.lower() == name), None)
    # a model whose plain variant is not listed is asked for by its own id
    match = match or next((each for name in names for each in listed if each.is_default and each.selection.id.lower() == name), None)
    if match is not None:
        return _with_effort(match, effort, listed).selection
    return _KNOWN.get(resolved or "", Selection(resolved or bare or wanted))


def as_model(listed: Listed, owner: str = "cursor") -> Model:
    """A variant as one of our models; `owner` is told where the id's first word does not say who makes it."""
    known = MODELS.get(listed.id)
    return Model(
        listed.id,
        listed.name or (known.name if known else listed.id),
        OWNERS.get(listed.id.partition("-")[0], owner),
        context_window=known.context_window if known else None,
        max_tokens=known.max_tokens if known else None,
        price=known.price if known else None,
    )


def _with_effort(match: Listed, effort: str | None, listed: Sequence[Listed]) -> Listed:
    """The variant that differs by the effort alone, or the one that was named."""
    if not effort:
        return match
    own = set(match.selection.params)
    for each in listed:
        if each.selection.id == match.selection.id:
            other = [(name, value) for name, value in each.selection.params if (name, value) not in own]
            if len(other) == 1 and other[0][1].lower() == effort.lower():
                return each
    return match


def _variants_of(item: Mapping[str, Json], bases: Set[str], found: Mapping[str, Listed]) -> Iterator[Listed]:
    """The variants of one model; none has the id of another model, or of what was `found` before."""
    base = item.get("id")
    if not isinstance(base, str) or not _ID.fullmatch(base):
        return
    name, description = _text(item, "displayName"), _text(item, "description")
    variants = _read_variants(item) or [_Variant((), "", "", is_default=True)]
    default = next((each for each in variants if each.is_default), variants[0])
    plain = dict(default.params) | {key: value for each in variants for key, value in each.params if value == "false"}
    used = {*found, *(bases - {base})}
    for each in sorted(variants, key=lambda each: each is not default):
        id = next((id for id in _ids(base, each, plain) if id not in used and _ID.fullmatch(id)), None)
        if id is not None:
            used.add(id)
            title = each.name if each.name.startswith(name) else f"{name} {each.name}".strip()
            yield Listed(id, title, each.description or description, Selection(base, each.params), each is default)


def _ids(base: str, variant: _Variant, plain: Mapping[str, str]) -> Iterator[str]:
    """The ids that a variant may have, the best one first."""
    other = [(key, value) for key, value in variant.params if plain.get(key) != value]
    yield "-".join([base, *(key if value == "true" else value for key, value in other)])
    yield "-".join([base, *(f"{key}-{value}" for key, value in other)])
    yield "-".join([base, *(f"{key}-{value}" for key, value in variant.params)])


def _read_variants(item: Mapping[str, Json]) -> list[_Variant]:
    variants: dict[tuple[tuple[str, str], ...], _Variant] = {}
    for entry in as_list(item.get("variants"))[:MAX_VARIANTS]:
        fields = as_object(entry)
        params = _read_params(as_list(fields.get("params")))
        if params is not None:
            variant = _Variant(params, _text(fields, "displayName"), _text(fields, "description"), fields.get("isDefault") is True)
            variants.setdefault(params, variant)
    return list(variants.values())


def _read_params(entries: Iterable[Json]) -> tuple[tuple[str, str], ...] | None:
    """The parameters of one variant; None where one of them cannot be sent back, since the rest of them would be another variant."""
    params: dict[str, str] = {}
    for entry in entries:
        fields = as_object(entry)
        name, value = fields.get("id"), fields.get("value", "")
        if not isinstance(name, str) or not isinstance(value, str) or not _WORD.fullmatch(name) or not _WORD.fullmatch(value):
            return None
        params[name] = value
    return tuple(params.items()) if len(params) <= MAX_PARAMS else None


def _text(fields: Mapping[str, Json], name: str) -> str:
    value = fields.get(name)
    return clean_message(value) if isinstance(value, str) else ""
