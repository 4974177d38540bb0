"""A call that came in a field of its own: the same checks, names and types as for a call that was written as text, at once."""

from pipeline.events import NativeToolCall
from pipeline.machine.call_writer import Admission, CallWriter
from pipeline.machine.calls import Calls
from pipeline.machine.forms.bodies import read_arguments
from pipeline.machine.tools.inventory import Malformed


def native_call(calls: Calls, call: NativeToolCall) -> None:
    """Pass a native call on; one that may not leave is dropped with a Notice, since it has no text that could stand for it."""
    writer = CallWriter(calls)
    if writer.admit(call.name, "a native call, dropped") is not Admission.CALL:
        return
    arguments = read_arguments(call.arguments)
    if arguments is None and calls.policy.malformed is Malformed.ERROR:
        writer.fail_malformed()
    elif arguments is None:
        calls.notice("malformed_call", f"a native call of {writer.name} was dropped: its arguments are not a JSON object")
    else:
        writer.open(call.id or None)
        writer.put(arguments)
        writer.end()
