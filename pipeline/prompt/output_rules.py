"""The constraints of an answer, in words: a limit of tokens, stop texts, and JSON of a shape.

Theory of operation: a request comes in, a line a rule goes out, none for a request without constraints. They are said to models that know no fields
for them. What is said is a wish; that it is kept is seen to elsewhere (`pipeline.promises`). Texts and schemas of the client stand in them as JSON
on one line, neutralised as the prompt wants it.
"""

from pipeline.prompt.neutral import Neutral
from pipeline.request import Request, ToolMode

RULES_HEADING = "OUTPUT RULES:"


def output_rules(request: Request, neutral: Neutral) -> list[str]:
    """The rules of one request, in the order in which they are shown.

    >>> from pipeline.prompt.neutral import EVERYTHING
    >>> from pipeline.request import Options
    >>> output_rules(Request("m", (), options=Options(max_tokens=9, stop=("END",))), EVERYTHING)
    ['Use at most 9 tokens.', 'End the answer just before any of these texts would come: ["END"]']
    """
    options, answer_format = request.options, request.options.answer_format
    scope = "When you answer in text, that text is" if request.tools and request.tool_choice.mode is not ToolMode.NONE else "The answer is"
    rules: list[str] = []
    if options.max_tokens is not None:
        rules.append(f"Use at most {options.max_tokens} tokens.")
    if options.stop:
        rules.append(f"End the answer just before any of these texts would come: {neutral.value(options.stop)}")
    if answer_format.kind == "json_object":
        rules.append(f"{scope} one JSON object and nothing else: no code fence, no words around it.")
    if answer_format.kind == "json_schema":
        schema = neutral.value(answer_format.schema or {})
        rules.append(f"{scope} one JSON value that is valid under this JSON Schema, and nothing else: no code fence, no words around it. {schema}")
        if answer_format.description:
            rules.append(f"What that JSON value is for: {neutral.value(answer_format.description)}")
    return rules
