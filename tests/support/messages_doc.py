"""The generated places of docs/messages.md: what becomes of each field of a body, and how errors are told."""

from collections.abc import Callable, Iterator

from pipeline.emit.messages_error import error_type
from pipeline.errors import PenstockError
from pipeline.messages_fields import FIELDS, Field
from pipeline.parameter_effects import Outcome
from tests.support.markdown import code, table

CHATS_OWN = "unless it would choose a host, a key, a model or a transport, or is one that Chat Completions reads (`stop`, `reasoning_effort`)"


def fields() -> str:
    """Those that fare alike without a word are one row, the last."""
    rows = [[code(row.name), row.takes, _told(row.elsewhere), _told(row.anthropic)] for row in FIELDS if not _is_plain(row)]
    plain = [row for row in FIELDS if _is_plain(row)]
    rows.append([", ".join(code(row.name) for row in plain), "anything", _told(plain[0].elsewhere), _told(plain[0].anthropic)])
    rows.append(["any other field", "anything", "**ignored**", f"**passed on**, {CHATS_OWN}"])
    return table(["field", "values", "over another API", "over an `anthropic` upstream"], rows)


def _is_plain(row: Field) -> bool:
    return row.is_left_out and not row.elsewhere.says


def _told(outcome: Outcome) -> str:
    return f"**{outcome.effect.value}** {outcome.says}".strip()


def errors() -> str:
    """Each of the API's types, with what it stands for here."""
    found: dict[str, list[str]] = {}
    for kind in _kinds(PenstockError):
        found.setdefault(error_type(kind("")), []).append(f"{kind.status} {code(kind.default_code)}")
    return table(["`type`", "status and `code`"], [[code(word), ", ".join(dict.fromkeys(told))] for word, told in sorted(found.items())])


def _kinds(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == kind.__module__:
            yield from _kinds(child)


REGIONS: dict[str, Callable[[], str]] = {"fields": fields, "errors": errors}
