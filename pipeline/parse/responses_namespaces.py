"""Flat names for tools that stand in namespaces.

Theory of operation: in the Responses API a tool may belong to a namespace, and a call says both. Models and upstreams here know one name a tool. A
namespace and a name come in, one flat name goes out, `namespace__name`, the same one whenever the two come again; `names` has the way back, for the
call that the model makes. Calls in the history are mapped as the tools are.

Invariants: no two tools have the same flat name, and none has that of a tool without a namespace. A name has no more characters than upstreams take
(64); one that would be longer, or is taken, ends with a digest of what it stands for, so that it does not depend on the order of the tools. A name
without a namespace stays as it is, of whatever length.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import count

BETWEEN = "__"
MAX_NAME_CHARS = 64
_DIGEST_CHARS = 8


class Namespaces:
    """`plain` are the names of the tools that are in no namespace.

    >>> namespaces = Namespaces(["now"])
    >>> namespaces.flat("crm", "find"), namespaces.flat("mcp__files__", "read"), namespaces.flat(None, "now")
    ('crm__find', 'mcp__files__read', 'now')
    >>> namespaces.names["crm__find"]
    ('crm', 'find')
    """

    def __init__(self, plain: Iterable[str] = ()) -> None:
        self._taken = set(plain)
        self._flat: dict[tuple[str, str], str] = {}

    @property
    def names(self) -> dict[str, tuple[str, str]]:
        """The flat names that were given, each with its namespace and name."""
        return {flat: pair for pair, flat in self._flat.items()}

    def flat(self, namespace: str | None, name: str) -> str:
        """The flat name of a tool; an empty namespace is none."""
        if not namespace:
            return name
        pair = (namespace, name)
        if pair not in self._flat:
            self._flat[pair] = next(wished for wished in _wished(*pair) if wished not in self._taken)
            self._taken.add(self._flat[pair])
        return self._flat[pair]


def _wished(namespace: str, name: str) -> Iterator[str]:
    joined = f"{namespace}{name}" if namespace.endswith(BETWEEN) else f"{namespace}{BETWEEN}{name}"
    if len(joined) <= MAX_NAME_CHARS:
        yield joined
    for number in count():
        digest = hashlib.sha256(f"{namespace}\0{name}\0{number}".encode()).hexdigest()[:_DIGEST_CHARS]
        yield f"{joined[: MAX_NAME_CHARS - _DIGEST_CHARS - 1]}_{digest}"
