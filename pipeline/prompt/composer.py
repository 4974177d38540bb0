"""The canonical Request as the one text that Composer takes: a transcript with instructions around it.

Theory of operation: a `Request` comes in, one string goes out, the same for the same request. Its blocks, with an empty line between them: the
directive (Ask, Agent, or Agent with tools); with tools, the inventory (one line of JSON each), the form of a call with an example, and the line for
`tool_choice`; a note on backslashes, only if any were added; `Conversation:` and one `ROLE: text` block a message (`pipeline.prompt.transcript`);
`OUTPUT RULES:` where the request has any (`pipeline.prompt.output_rules`).

A part that is neither text nor an image has no place in it (`transcript.check_parts`). Custom tools stand here as functions, which is the
form in which they are given (`pipeline.prompt.custom_tools`).

Invariants: the only markers in the prompt are those that show the form of a call. All that the client supplied passes through
`pipeline.prompt.neutral` and is otherwise verbatim. The record of an earlier call is no call that the machine would read. Nothing is guessed from
the words of a message, and no turn is invented.
"""

from collections.abc import Sequence

from pipeline.prompt.neutral import EVERYTHING
from pipeline.prompt.output_rules import RULES_HEADING, output_rules
from pipeline.prompt.transcript import BACKSLASH_NOTE, CONVERSATION_HEADING, shown_word, transcript
from pipeline.request import Json, Message, Request, Tool, ToolMode

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


def assemble_prompt(request: Request) -> str:
    r"""The whole text of one request.

    >>> from pipeline.request import Role, TextPart
    >>> assemble_prompt(Request("composer-2.5", (Message(Role.USER, (TextPart("Hello"),)),))).partition(CONVERSATION_HEADING)[2]
    '\n\nUSER: Hello'
    """
    conversation = transcript(request.messages, EVERYTHING)
    blocks = _instructions(request)
    if conversation.changed:
        blocks.append(BACKSLASH_NOTE)
    blocks += [CONVERSATION_HEADING, *conversation.blocks]
    if rules := output_rules(request, EVERYTHING):
        blocks.append("\n".join([RULES_HEADING, *rules]))
    return "\n\n".join(blocks)


def show_messages(messages: Sequence[Message]) -> str:
    r"""What a prompt grows by at most when these messages are added to it: their blocks, and the note on backslashes where they need it.

    A result is shown with the name of its tool if its call is among them. The number of an image may have more digits in the prompt.

    >>> from pipeline.request import Role, TextPart
    >>> show_messages([Message(Role.USER, (TextPart("Hello"),)), Message(Role.ASSISTANT, (TextPart("Hi"),))])
    '\n\nUSER: Hello\n\nASSISTANT: Hi'
    """
    shown = transcript(messages, EVERYTHING)
    return "".join(f"\n\n{block}" for block in ((BACKSLASH_NOTE, *shown.blocks) if shown.changed else shown.blocks))


def _instructions(request: Request) -> list[str]:
    if not request.tools:
        return [AGENT if request.agent else ASK]
    mode, name = request.tool_choice.mode, request.tool_choice.name
    choice = CHOICE_LINES[mode].format(name=shown_word(name or "", EVERYTHING))
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
    return EVERYTHING.value(shown)
