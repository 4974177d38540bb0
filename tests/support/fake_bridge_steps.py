"""What a script of the fake bridge is made of, beside the steps of `tests.support.composer_server`.

- `Call(name, args, id)`: the bridge calls a tool back, and the script goes on when the result is there; `Calls` makes several side by side;
- `Fire(name, args, id)`: it calls back, and the script goes on at once; `Await()` waits for all that are out, `HangUp()` closes their connections;
- `Until(event)`: nothing until the test sets the event;
- `Say(fn)`: the steps that the function makes of the run so far, its `results` above all.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import trio

from tests.support.composer_server import Cut, Late, Pause, Reply, Reset

if TYPE_CHECKING:
    from tests.support.fake_bridge_run import Run


class Call(msgspec.Struct, frozen=True):
    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class Calls:
    """Calls that are made side by side."""

    def __init__(self, *calls: Call) -> None:
        self.calls = calls


class Fire(msgspec.Struct, frozen=True):
    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class Await(msgspec.Struct, frozen=True):
    pass


class HangUp(msgspec.Struct, frozen=True):
    pass


class Until(msgspec.Struct, frozen=True):
    event: trio.Event


class Say:
    """What comes next depends on what came back."""

    def __init__(self, steps: "Callable[[Run], Sequence[Step]]") -> None:
        self.steps = steps


Step: TypeAlias = bytes | Late | Pause | Cut | Reset | Reply | Call | Calls | Fire | Await | HangUp | Until | Say
Script: TypeAlias = "Sequence[Step] | Callable[[Run], Sequence[Step]]"


class ToolResult(msgspec.Struct, frozen=True):
    """What became of a callback. `status` is None when the gateway closed the connection without an answer; `body` is the JSON of its answer."""

    name: str
    args: dict[str, Any]
    id: str | None
    agent_id: str
    status: int | None
    body: dict[str, Any]

    @property
    def content(self) -> list[dict[str, Any]]:
        """The parts of the result."""
        parts: list[dict[str, Any]] = self.body.get("result", {}).get("content", [])
        return parts

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.content if part["type"] == "text")

    @property
    def is_error(self) -> bool:
        return self.status != 200 or bool(self.body.get("result", {}).get("isError"))
