"""The canonical Request as the one text that Composer takes: a transcript with instructions around it.

Theory of operation: a `Request` comes in, one string goes out, the same for the same request. Its blocks, with an empty line between them: the
directive (Ask, Agent, or Agent with tools); with tools, the inventory (one line of JSON each), the form of a call with an example, and the line for
`tool_choice`; a note on backslashes, only if any were added; `Conversation:` and one `ROLE: text` block a message; `OUTPUT RULES:` where the request
has any.

A part that is neither text nor an image has no place in it: `check_parts` refuses the request. Custom tools stand here as functions, which is the
form in which they are given (`pipeline.prompt.custom_tools`).

Invariants: the only markers in the prompt are those that show the form of a call. All that the client supplied passes through
`pipeline.prompt.neutral` and is otherwise verbatim. Earlier calls are shown as `[called NAME, id ID, with ARGUMENTS]`, which is no call that the
machine would read. Images stand as `[image N]` on lines of their own, counted through the request in the order in which their bytes are sent.
Reasoning echoed by the client is left out: Composer did not write it for the next turn. Nothing is guessed from the words of a message, and no turn
is invented.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.neutral import LINE_ENDS, neutralise, neutralise_json
from pipeline.request import ImagePart, Json, Message, OpaquePart, Request, TextPart, Tool, ToolMode

ASK = (
    "You answer a request that reached you through an API. Write the assistant's next message in the conversation below, and only that message. "
    "You have no tools and no files here."
)
AGENT = (
    "You work as an agent for a program that reached you through an API. Write the assistant's next message in the conversation below, and only that "
    "message. No tools are offered in this turn: do not write tool calls, and do not claim to have read, changed or run anything."
)
AGENT_WITH_TOOLS = (
    "You work as an agent for a program that reached you through an API. Write the assistant's next message in the conversation below, and only that "
    "message. The program runs the tools listed here and sends back their results; there are no other tools."
)

INVENTORY_HEADING = "Tools, one JSON object a line:"

CALL_FORM = """\
To call tools, write one block in exactly this form:
<|tool_calls_begin|><|tool_call_begin|>
NAME
<|tool_sep|>KEY
VALUE
<|tool_sep|>KEY
VALUE
<|tool_call_end|><|tool_call_begin|>
NAME
<|tool_sep|>KEY
VALUE
<|tool_call_end|><|tool_calls_end|>
NAME is a tool's name and KEY one of its parameters. VALUE is the bare value: no quotes, no escapes, no code fence, with its own line breaks and \
indentation. Only a value that is not a string is written as JSON. A call without arguments is the name alone. For example:
<|tool_calls_begin|><|tool_call_begin|>
example_tool
<|tool_sep|>lines
[3, 4]
<|tool_sep|>text
if ready:
    say("go")
<|tool_call_end|><|tool_calls_end|>
All calls of the turn go into one block; text for the user goes before it. \
Stop after the block: results come back as TOOL messages. Lines like `[called …]` below are records of earlier calls; never write one."""

# what the client said about calling -> the line that says it to the model; {name} only for a function
CHOICE_LINES = {
    ToolMode.AUTO: "Call tools when they help; otherwise answer in text.",
    ToolMode.NONE: "Do not call tools in this turn: answer in text.",
    ToolMode.REQUIRED: "You must call at least one tool in this turn.",
    ToolMode.FUNCTION: "You must call the tool {name} in this turn.",
}
ONE_CALL_LINE = "Make at most one call in this turn."

BACKSLASH_NOTE = (
    "Note: in what follows, a backslash after `<` or before a label marks quoted text that only looks like markup. "
    "The backslash is not part of that text."
)

_NEEDS_QUOTES = re.compile(rf"[()\[\]{LINE_ENDS}]")
"""What would end the label or the record that a name or an id stands in."""

_PLAIN_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)

CONVERSATION_HEADING = "Conversation:"
RULES_HEADING = "OUTPUT RULES:"


def check_parts(request: Request) -> None:
    """Refuse what cannot stand in a prompt.

    Raises:
        UnsupportedParameter: a part that is neither text nor an image; `param` is its place.

    >>> from pipeline.request import Role
    >>> check_parts(Request("composer-2.5", (Message(Role.USER, (OpaquePart("file", {}, "messages[0].content[0]"),)),)))
    Traceback (most recent call last):
    pipeline.errors.UnsupportedParameter: messages[0].content[0] is of type file: this model takes only text and images.
    """
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, OpaquePart):
                kind = part.kind if _PLAIN_WORD.fullmatch(part.kind) else "?"
                raise UnsupportedParameter(f"{part.path} is of type {kind}: this model takes only text and images.", param=f"{part.path}.type")


def assemble_prompt(request: Request) -> str:
    r"""The whole text of one request.

    >>> from pipeline.request import Role, TextPart
    >>> assemble_prompt(Request("composer-2.5", (Message(Role.USER, (TextPart("Hello"),)),))).partition(CONVERSATION_HEADING)[2]
    '\n\nUSER: Hello'
    """
    messages, changed = _conversation(request.messages)
    blocks = _instructions(request)
    if changed:
        blocks.append(BACKSLASH_NOTE)
    blocks += [CONVERSATION_HEADING, *messages]
    if rules := _rules(request):
        blocks.append("\n".join([RULES_HEADING, *rules]))
    return "\n\n".join(blocks)


def show_messages(messages: Sequence[Message]) -> str:
    r"""What a prompt grows by at most when these messages are added to it: their blocks, and the note on backslashes where they need it.

    A result is shown with the name of its tool if its call is among them. The number of an image may have more digits in the prompt.

    >>> from pipeline.request import Role, TextPart
    >>> show_messages([Message(Role.USER, (TextPart("Hello"),)), Message(Role.ASSISTANT, (TextPart("Hi"),))])
    '\n\nUSER: Hello\n\nASSISTANT: Hi'
    """
    blocks, changed = _conversation(messages)
    return "".join(f"\n\n{block}" for block in ([BACKSLASH_NOTE, *blocks] if changed else blocks))


def _instructions(request: Request) -> list[str]:
    if not request.tools:
        return [AGENT if request.agent else ASK]
    mode, name = request.tool_choice.mode, request.tool_choice.name
    choice = CHOICE_LINES[mode].format(name=_word(name or "", neutralise))
    if not request.options.parallel_tool_calls and mode is not ToolMode.NONE:
        choice = f"{choice} {ONE_CALL_LINE}"
    inventory = "\n".join([INVENTORY_HEADING, *(_tool_line(tool) for tool in request.tools)])
    if mode is ToolMode.NONE:  # a form that must not be used is better not shown
        return [AGENT_WITH_TOOLS, inventory, choice]
    return [AGENT_WITH_TOOLS, inventory, CALL_FORM, choice]


def _tool_line(tool: Tool) -> str:
    shown: dict[str, Json] = {"name": tool.name}
    if tool.description:
        shown["description"] = tool.description
    shown["parameters"] = tool.parameters
    return _json(shown)


def _conversation(messages: Sequence[Message]) -> tuple[list[str], bool]:
    """One block a message, and whether anything of theirs had to be neutralised."""
    blocks: list[str] = []
    changed = False
    image_count = 0

    def clean(text: str) -> str:
        nonlocal changed
        shown = neutralise(text)
        changed = changed or shown != text
        return shown

    called: dict[str, str] = {}
    for message in messages:
        called.update((call.id, call.name) for call in message.tool_calls)
        shown, head = _text(message, image_count, clean), _label(message, called, clean)
        image_count += sum(isinstance(part, ImagePart) for part in message.parts)
        records = [
            f"[called {_word(call.name, clean)}, id {_word(call.id, clean)}, with {clean(neutralise_json(call.arguments))}]"
            for call in message.tool_calls
        ]
        blocks.append("\n".join([f"{head} {shown}" if shown else head, *records]))
    return blocks, changed


def _text(message: Message, image_count: int, clean: Callable[[str], str]) -> str:
    """The message's text with a line for each image; `image_count` images came before.

    Text parts join without anything between them, so that a marker cut in two by them is found. An image's line is a line of its own.
    """
    shown: list[str] = []
    for is_image, parts in groupby(message.parts, lambda part: isinstance(part, ImagePart)):
        if is_image:
            run = "\n".join(f"[image {number}]" for number, _ in enumerate(parts, image_count + 1))
            image_count += run.count("\n") + 1
        else:
            run = clean("".join(part.text for part in parts if isinstance(part, TextPart)))
        if run and shown and not shown[-1].endswith("\n"):
            shown.append("\n")
        if run:
            shown.append(run)
    return "".join(shown)


def _label(message: Message, called: dict[str, str], clean: Callable[[str], str]) -> str:
    """The role and who or what speaks in it; a tool result names the tool of the call that it answers."""
    name, call_id = message.name, message.tool_call_id
    if call_id is not None:
        name = name or called.get(call_id)
    about = ", ".join(_word(word, clean) for word in (name, call_id) if word)
    return f"{message.role.upper()} ({about}):" if about else f"{message.role.upper()}:"


def _word(text: str, clean: Callable[[str], str]) -> str:
    """A name or an id: as it is, or as a JSON string where it would break the line that it stands in."""
    return _json(text) if _NEEDS_QUOTES.search(text) else clean(text)


def _rules(request: Request) -> list[str]:
    """The output constraints, a line each."""
    options, answer_format = request.options, request.options.answer_format
    scope = "When you answer in text, that text is" if request.tools and request.tool_choice.mode is not ToolMode.NONE else "The answer is"
    rules: list[str] = []
    if options.max_tokens is not None:
        rules.append(f"Use at most {options.max_tokens} tokens.")
    if options.stop:
        rules.append(f"End the answer just before any of these texts would come: {_json(options.stop)}")
    if answer_format.kind == "json_object":
        rules.append(f"{scope} one JSON object and nothing else: no code fence, no words around it.")
    if answer_format.kind == "json_schema":
        schema = _json(answer_format.schema or {})
        rules.append(f"{scope} one JSON value that is valid under this JSON Schema, and nothing else: no code fence, no words around it. {schema}")
        if answer_format.description:
            rules.append(f"What that JSON value is for: {_json(answer_format.description)}")
    return rules


def _json(value: Json) -> str:
    return neutralise_json(msgspec.json.encode(value).decode())
