"""A custom tool as it is offered: a name, a description, and the form of the text that it takes.

Theory of operation: `format` says what the tool's input has to be: any text (`{"type": "text"}`, or no format), or a text of a grammar, whose syntax
and definition stand in `grammar`, or flat as Responses writes them. What comes out is the `Grammar`, or None for any text, and the fields beside it
that nobody reads, in the nested form. The grammar itself is not read: whether it is one is for the upstream to say.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_object, read, unread
from pipeline.request import Grammar, Json


class CustomBody(msgspec.Struct, frozen=True):
    """A custom tool as offered; `format` is read by itself."""

    name: str
    description: str | None = None
    format: Json = None


class GrammarBody(msgspec.Struct, frozen=True):
    """The object under `grammar`."""

    syntax: str
    definition: str


class FormatBody(msgspec.Struct, frozen=True):
    """The object under `format`; Responses writes what is under `grammar` flat."""

    type: str
    grammar: GrammarBody | None = None
    syntax: str | None = None
    definition: str | None = None


_READ_OF_TEXT = frozenset({"type"})
_READ_OF_NESTED = frozenset({"type", "grammar"})
_READ_OF_FLAT = frozenset({"type", "syntax", "definition"})
_READ_INSIDE_GRAMMAR = frozenset(GrammarBody.__struct_fields__)
_NULL_IS_ABSENT = frozenset(FormatBody.__struct_fields__)


def read_grammar(value: Json, path: str) -> tuple[Grammar | None, dict[str, Json]]:
    """The grammar in a `format` that stands at `path`, and what else the format holds.

    Raises:
        RequestError: a wrong type, an unknown format, a grammar without its text; `param` names the field.

    >>> read_grammar({"type": "grammar", "syntax": "regex", "definition": "[a-z]+"}, "tools[0].format")
    (Grammar(syntax='regex', definition='[a-z]+'), {})
    """
    if value is None:
        return None, {}
    body = read(value, FormatBody, path)
    sent: dict[str, Json] = value if is_object(value) else {}
    if body.type == "text":
        besides = unread(sent, _READ_OF_TEXT, _NULL_IS_ABSENT)
        return None, {"type": "text", **besides} if besides else {}
    if body.type != "grammar":
        raise RequestError(f"{path}.type must be text or grammar.", param=f"{path}.type")
    if body.grammar is not None:
        besides = unread(sent, _READ_OF_NESTED, _NULL_IS_ABSENT)
        if inside := unread(sent["grammar"], _READ_INSIDE_GRAMMAR):
            besides["grammar"] = inside
        return Grammar(body.grammar.syntax, body.grammar.definition), besides
    for name, text in (("syntax", body.syntax), ("definition", body.definition)):
        if text is None:
            raise RequestError(f"{path}.{name} is required.", param=f"{path}.{name}")
    return Grammar(body.syntax or "", body.definition or ""), unread(sent, _READ_OF_FLAT, _NULL_IS_ABSENT)
