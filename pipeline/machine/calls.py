"""What all tool calls of one answer share: the offered tools, the policy, the numbering, and where the events go."""

from collections.abc import Callable

from pipeline.errors import PenstockError
from pipeline.events import Event, Failed, Notice, ToolCallStart
from pipeline.machine.tools.inventory import Inventory, ToolPolicy


def _nothing() -> None:
    pass


class Calls:
    """One answer's calls. `holder` is the field that has a call open, for which the other one waits."""

    def __init__(self, inventory: Inventory, policy: ToolPolicy, new_id: Callable[[], str], *, parallel: bool = True) -> None:
        self.inventory = inventory
        self.policy = policy
        self.parallel = parallel
        self.count = 0
        self.failed = False
        self.holder: object | None = None
        self.on_release: Callable[[], None] = _nothing
        self.events: list[Event] = []
        self._new_id = new_id
        self._ids: set[str] = set()

    def start(self, name: str, call_id: str | None = None) -> int:
        """Open the next call and give its index."""
        index = self.count
        self.count += 1
        if call_id in self._ids:
            self.notice("call_id_repeated", f"a second call, of {name}, came with the id of an earlier one and got its own")
            call_id = None
        call_id = call_id or self._new_id()
        self._ids.add(call_id)
        self.events.append(ToolCallStart(index, call_id, name))
        return index

    def release(self) -> None:
        """A call has ended: the field that held the answer for it lets go, and what waited for that may leave."""
        self.holder = None
        self.on_release()

    def notice(self, code: str, detail: str) -> None:
        """Say that something was repaired, dropped or passed through."""
        self.events.append(Notice(code, detail))

    def fail(self, error: PenstockError) -> None:
        """End the answer; nothing comes after it."""
        if not self.failed:
            self.failed = True
            self.events.append(Failed(error))
