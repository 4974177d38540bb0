"""What all tool calls of one answer share: the offered tools, the policy, the numbering, and where the events go."""

from collections.abc import Callable

from pipeline.errors import PenstockError
from pipeline.events import Event, Failed, Notice, ToolCallStart
from pipeline.machine.tools.inventory import Inventory, ToolPolicy
from pipeline.machine.written import WrittenCall

_AHEAD = frozenset({"call_in_thinking"})
"""Notices that speak of a call whose name is not read yet."""


def _nothing() -> None:
    pass


class Calls:
    """One answer's calls. `holder` is the field that has a call open, for which the other one waits.

    What the model wrote is added to `written` where that is a list, with the Notices said while the call was read; None: nobody wants to know.
    """

    def __init__(
        self, inventory: Inventory, policy: ToolPolicy, new_id: Callable[[], str], *, parallel: bool = True, written: list[WrittenCall] | None = None
    ) -> None:
        self.inventory = inventory
        self.policy = policy
        self.parallel = parallel
        self.count = 0
        self.failed = False
        self.has_function = any(tool.name.lower() == "function" for tool in inventory.tools)
        self.holder: object | None = None
        self.on_release: Callable[[], None] = _nothing
        self.events: list[Event] = []
        self.written = written
        self._reading: WrittenCall | None = None
        self._ahead: list[Notice] = []
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

    def reads(self, name: str) -> WrittenCall | None:
        """A call's name was read, as the model spelled it; the record of the call, None when there is none."""
        if self.written is None:
            return None
        self._reading = WrittenCall(name, self._ahead)
        self._ahead = []
        self.written.append(self._reading)
        return self._reading

    def has_read(self) -> None:
        """The call is over, and what is said from here on is not of it."""
        self._reading = None
        self._ahead = []

    def release(self) -> None:
        """A call has ended: the field that held the answer for it lets go, and what waited for that may leave."""
        self.has_read()
        self.holder = None
        self.on_release()

    def notice(self, code: str, detail: str) -> None:
        """Say that something was repaired, dropped or passed through."""
        self.say(Notice(code, detail))

    def say_empty(self) -> None:
        """Say that the whole answer is thoughts."""
        self.notice("empty_answer", "the model thought and gave no visible answer")

    def say(self, notice: Notice) -> None:
        """Pass a Notice on; while calls are recorded it also goes to the one that is being read."""
        self.events.append(notice)
        if self._reading is not None:
            self._reading.notices.append(notice)
        elif self.written is not None and notice.code in _AHEAD:
            self._ahead.append(notice)

    def fail(self, error: PenstockError) -> None:
        """End the answer; nothing comes after it."""
        if not self.failed:
            self.failed = True
            self.events.append(Failed(error))
