"""What all tool calls of one answer share, and the calls that need no reading because the upstream sent them whole."""

from collections.abc import Callable

from pipeline.errors import PenstockError, UpstreamError
from pipeline.events import Event, Failed, NativeToolCall, Notice, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.bodies import read_arguments
from pipeline.machine.fitting import fit_arguments
from pipeline.machine.inventory import Inventory, Malformed, ToolPolicy, Unknown
from pipeline.machine.schema import ToolSchema
from pipeline.request import Tool


class Calls:
    """What all calls of one answer share: the offered tools, the policy, the numbering, and where the events go."""

    def __init__(self, inventory: Inventory, policy: ToolPolicy, new_id: Callable[[], str], *, parallel: bool = True) -> None:
        self.inventory = inventory
        self.policy = policy
        self.parallel = parallel
        self.count = 0
        self.failed = False
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

    def notice(self, code: str, detail: str) -> None:
        """Say that something was repaired, dropped or passed through."""
        self.events.append(Notice(code, detail))

    def fail(self, error: PenstockError) -> None:
        """End the answer; nothing comes after it."""
        if not self.failed:
            self.failed = True
            self.events.append(Failed(error))


def native_call(calls: Calls, call: NativeToolCall) -> None:
    """A call that came in a field of its own: the same checks and typing, at once."""
    schema = calls.inventory.find(call.name)
    if schema is None:
        choice = calls.policy.unknown if len(calls.inventory) else calls.policy.without_tools
        code = "unknown_tool" if len(calls.inventory) else "call_without_tools"
        if choice is not Unknown.PASS:
            calls.notice(code, f"a native call of {call.name} was dropped: it is not one of the offered tools")
            if choice is Unknown.ERROR:
                calls.fail(UpstreamError(f"The model called {call.name}, which is not one of the offered tools.", code=code))
            return
        calls.notice(code, f"{call.name} is not one of the offered tools; passed as a call")
        schema = ToolSchema(Tool(call.name))
    if not calls.parallel and calls.count:
        calls.notice("parallel_call_dropped", f"a second call, of {schema.name}, was dropped: parallel_tool_calls is false")
        return
    arguments = read_arguments(call.arguments)
    if arguments is None and calls.policy.malformed is Malformed.ERROR:
        calls.fail(UpstreamError("The model wrote a tool call whose arguments cannot be read.", code="malformed_tool_call"))
        return
    if arguments is None:
        calls.notice("malformed_call", f"a native call of {schema.name} was dropped: its arguments are not a JSON object")
        return
    text, misfits = fit_arguments(arguments, schema)
    index = calls.start(schema.name, call.id or None)
    calls.events.append(ToolCallDelta(index, text))
    calls.events.append(ToolCallEnd(index))
    for misfit in misfits:
        calls.notice("argument_type", misfit)
