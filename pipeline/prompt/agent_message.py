"""The canonical Request as the one message that a fresh agent of Cursor's SDK is sent.

Theory of operation: a `Request` comes in, one string goes out, the same for the same request. The agent has a harness with words of its own, which
say that it works for a user in a workspace. So the message says whom it works for instead, shows the conversation as a transcript
(`pipeline.prompt.transcript`), and lets it go on from there. It has the tools as tools: neither their list nor the form of a call stands here. With
an empty line between them: the directive, the line for `tool_choice`, notes on what stands in the conversation, `Conversation:` and one block a
message, `OUTPUT RULES:` where the request has any (`pipeline.prompt.output_rules`), and for a run that was lost among its calls, that it goes on.

A request that is nothing but one text of a user is that text, verbatim. Its images may stand before or behind the text: beside it is where the agent
gets them.

Invariants: labels and records within a text are neutralised, and nothing else is, since calls do not come as text (`pipeline.prompt.neutral`). What
the agent has as tools and what is said here of tools agree: with `tool_choice` none it is to be made without them. `Request.agent` is not read: a
directive without tools is the same with and without it. Left alone: parts that are neither text nor an image, which `check_parts` refuses, and custom
tools, which stand here as functions (`pipeline.prompt.custom_tools`).
"""

from collections.abc import Sequence

from pipeline.prompt.neutral import LABELS
from pipeline.prompt.output_rules import RULES_HEADING, output_rules
from pipeline.prompt.transcript import CONVERSATION_HEADING, LABEL_NOTE, shown_word, transcript
from pipeline.request import Message, Request, Role, TextPart, ToolMode

ASK = (
    "You answer a program that reached you through an API. Write the assistant's next message in the conversation below, and only that message. "
    "SYSTEM messages in it are the program's instructions to you. You have no tools here, and the workspace is empty and not the program's."
)
WITH_TOOLS = (
    "You work for a program that reached you through an API. Write the assistant's next message in the conversation below, and only that message. "
    "SYSTEM messages in it are the program's instructions to you. The only tools that act are the custom tools of the server `custom-user-tools`: "
    "the program runs them, where its files are, and sends back the results. Your own workspace is empty and not the program's: use no other tools."
)

# what the client said about calling -> the line that says it to the agent; {name} only for a function. A run goes on behind a call's result, so that
# "in this turn" would be the whole of it: what must be called comes first, and one call at a time is meant call by call.
CHOICE_LINES = {
    ToolMode.AUTO: "",
    ToolMode.NONE: "Do not call tools in this turn: answer in text.",
    ToolMode.REQUIRED: "You must call at least one of these tools next.",
    ToolMode.FUNCTION: "You must call the tool {name} next.",
}
ONE_CALL_LINE = "Make one call at a time, and wait for its result before the next one."

RECORD_NOTE = "Note: lines like `[called …]` below are records of earlier calls. Never write one: it calls nothing."
RESULTS_LAST = "The results at the end of the conversation are those of the assistant's last calls. Go on from there, and do not repeat those calls."


def agent_message(request: Request) -> str:
    r"""The whole text of one request, of any length.

    >>> hello = Message(Role.USER, (TextPart("Hello"),))
    >>> agent_message(Request("composer-2.5", (hello,)))
    'Hello'
    >>> agent_message(Request("composer-2.5", (Message(Role.SYSTEM, (TextPart("Be brief."),)), hello))).partition(CONVERSATION_HEADING)[2]
    '\n\nSYSTEM: Be brief.\n\nUSER: Hello'
    """
    rules = output_rules(request, LABELS)
    if not rules and not request.tools and _is_one_text(request.messages):
        return request.messages[0].text
    blocks, notes, ending = _shown(request.messages)
    frame = [*_instructions(request), *notes, CONVERSATION_HEADING, *blocks]
    if rules:
        frame.append("\n".join([RULES_HEADING, *rules]))
    return "\n\n".join([*frame, *ending])


def show_messages(messages: Sequence[Message]) -> str:
    r"""What a message to an agent grows by at most when these messages are added to its conversation: their blocks, and what is said about them.

    A result is shown with the name of its tool if its call is among them. The number of an image may have more digits in the whole. A conversation
    that shrinks to one text of a user's loses its frame too.

    >>> show_messages([Message(Role.USER, (TextPart("Hello"),)), Message(Role.ASSISTANT, (TextPart("Hi"),))])
    '\n\nUSER: Hello\n\nASSISTANT: Hi'
    """
    blocks, notes, ending = _shown(messages)
    return "".join(f"\n\n{block}" for block in (*notes, *blocks, *ending))


def _is_one_text(messages: Sequence[Message]) -> bool:
    """Whether there is nothing to tell apart: one message of a user without a name, whose text is in one piece."""
    if len(messages) != 1 or messages[0].role is not Role.USER or messages[0].name or not messages[0].text.strip():
        return False
    texts = [place for place, part in enumerate(messages[0].parts) if isinstance(part, TextPart)]
    return all(isinstance(part, TextPart) for part in messages[0].parts[texts[0] : texts[-1] + 1])


def _instructions(request: Request) -> list[str]:
    if not request.tools:
        return [ASK]
    mode, name = request.tool_choice.mode, request.tool_choice.name
    if mode is ToolMode.NONE:
        return [ASK, CHOICE_LINES[mode]]
    lines = [CHOICE_LINES[mode].format(name=shown_word(name or "", LABELS)), "" if request.options.parallel_tool_calls else ONE_CALL_LINE]
    choice = " ".join(line for line in lines if line)
    return [WITH_TOOLS, choice] if choice else [WITH_TOOLS]


def _shown(messages: Sequence[Message]) -> tuple[tuple[str, ...], list[str], list[str]]:
    """The blocks of messages, the notes in front of them, and what is said behind them."""
    shown = transcript(messages, LABELS)
    notes = [LABEL_NOTE] if shown.changed else []
    if any(message.tool_calls for message in messages):
        notes.append(RECORD_NOTE)
    return shown.blocks, notes, [RESULTS_LAST] if messages and messages[-1].role is Role.TOOL else []
