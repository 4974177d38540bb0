"""Tools and the choice among them as Chat Completions writes them.

Theory of operation: a canonical `Tool` comes in, an entry of `tools` goes out, always in the nested form, without the fields that no stage reads;
`choice_value` is what `tool_choice` has to be. A schema is written as it came; one that is empty is that of an object without properties, which some
servers demand. Left alone: whether a target has custom tools.
"""

from pipeline.request import Grammar, Json, Request, Tool, ToolMode

NO_PARAMETERS: dict[str, Json] = {"type": "object", "properties": {}}


def tool_object(tool: Tool) -> dict[str, Json]:
    """A function, or a custom tool.

    >>> tool_object(Tool("patch", custom=True, grammar=Grammar("regex", "[a-z]+")))["custom"]["format"]
    {'type': 'grammar', 'grammar': {'syntax': 'regex', 'definition': '[a-z]+'}}
    """
    return _custom(tool) if tool.custom else _function(tool)


def _function(tool: Tool) -> dict[str, Json]:
    function: dict[str, Json] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or NO_PARAMETERS
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _custom(tool: Tool) -> dict[str, Json]:
    custom: dict[str, Json] = {"name": tool.name}
    if tool.description:
        custom["description"] = tool.description
    if tool.grammar is not None:
        custom["format"] = _grammar(tool.grammar)
    return {"type": "custom", "custom": custom}


def _grammar(grammar: Grammar) -> Json:
    return {"type": "grammar", "grammar": {"syntax": grammar.syntax, "definition": grammar.definition}}


def choice_value(request: Request) -> Json:
    """`tool_choice`: a word, or an object that names the tool."""
    choice = request.tool_choice
    if choice.mode is not ToolMode.FUNCTION:
        return choice.mode.value
    kind = "custom" if any(tool.custom and tool.name == choice.name for tool in request.tools) else "function"
    return {"type": kind, kind: {"name": choice.name}}
