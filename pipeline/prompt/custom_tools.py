"""Custom tools in the form of functions, for a model that is offered nothing else.

Theory of operation: a request comes in; one without a custom tool goes out, in which each of them is a function with one required text, `input`. What
the tool's input has to match stands at the end of its description. The calls of the history become those of functions, with `{"input": ...}` as
their arguments. A model then calls such a function, and `pipeline.machine.custom_calls` takes the text out of its arguments again.

Invariants: names, ids, results and the choice among the tools stay as they are; fields of a tool that nobody reads stay with it, but for those of its
format. A request in which there is nothing to change comes back as the very same object.
"""

import msgspec

from pipeline.request import WRAPPED_INPUT, Grammar, Json, Message, Request, Tool, ToolCall

PARAMETERS: dict[str, Json] = {
    "type": "object",
    "properties": {WRAPPED_INPUT: {"type": "string", "description": "The whole input of the tool, as raw text."}},
    "required": [WRAPPED_INPUT],
    "additionalProperties": False,
}


def in_function_form(request: Request) -> Request:
    """The request with functions in place of its custom tools and of their calls.

    >>> tool = Tool("patch", "Changes files.", custom=True, grammar=Grammar("lark", "start: /.+/"))
    >>> print(in_function_form(Request("m", (), (tool,))).tools[0].description)
    Changes files.
    <BLANKLINE>
    `input` is raw text, no JSON and no code fence, that matches this lark grammar:
    start: /.+/
    """
    has_calls = any(call.custom for message in request.messages for call in message.tool_calls)
    has_tools = any(tool.custom for tool in request.tools)
    if not has_calls and not has_tools:
        return request
    return msgspec.structs.replace(
        request,
        messages=tuple(map(_message, request.messages)) if has_calls else request.messages,
        tools=tuple(map(_tool, request.tools)) if has_tools else request.tools,
    )


def _message(message: Message) -> Message:
    if not any(call.custom for call in message.tool_calls):
        return message
    return msgspec.structs.replace(message, tool_calls=tuple(map(_call, message.tool_calls)))


def _call(call: ToolCall) -> ToolCall:
    if not call.custom:
        return call
    arguments = msgspec.json.encode({WRAPPED_INPUT: call.arguments}).decode()
    return msgspec.structs.replace(call, arguments=arguments, custom=False, extra=_extra(call.extra))


def _tool(tool: Tool) -> Tool:
    if not tool.custom:
        return tool
    description = tool.description if tool.grammar is None else f"{tool.description}\n\n{_constraint(tool.grammar)}".lstrip()
    return Tool(tool.name, description, PARAMETERS, extra=_extra(tool.extra))


def _constraint(grammar: Grammar) -> str:
    return f"`{WRAPPED_INPUT}` is raw text, no JSON and no code fence, that matches this {grammar.syntax} grammar:\n{grammar.definition}"


def _extra(extra: dict[str, Json]) -> dict[str, Json]:
    """The same fields, those inside `custom` inside `function`; a function has no format."""
    if "custom" not in extra:
        return extra
    inside = {name: value for name, value in extra["custom"].items() if name != "format"}
    around = {name: value for name, value in extra.items() if name != "custom"}
    return {**around, "function": inside} if inside else around
