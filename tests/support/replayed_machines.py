"""The machine that a recorded answer goes through, without the flow's generators."""

from collections.abc import Callable

from pipeline.flow import Terms
from pipeline.machine.answer import AnswerMachine, Markup, taught
from pipeline.machine.native_answer import NativeAnswerMachine
from pipeline.machine.plain import PlainMachine
from pipeline.request import Request
from pipeline.upstream.replayed import Kind

Machine = PlainMachine | AnswerMachine | NativeAnswerMachine


def machine_of(kind: Kind, request: Request, new_id: Callable[[], str]) -> Machine:
    """The calls of an upstream that keeps its promises are events already; those of the others are text, or whole calls in a field of their own."""
    if kind.keeps_promises:
        return PlainMachine()
    policy, parallel = Terms().policy, request.options.parallel_tool_calls
    if not kind.writes_markers:
        return NativeAnswerMachine(new_id=new_id, tools=request.tools, policy=policy, parallel=parallel)
    markup = Markup() if kind.markers else taught(Markup(), kind.trigger(request))
    return AnswerMachine(new_id=new_id, tools=request.tools, policy=policy, parallel=parallel, markup=markup)
