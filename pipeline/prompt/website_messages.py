"""The canonical Request as the messages of a chat page, for a website that takes text of system, user and assistant and nothing else.

Theory of operation: a `Request` comes in, messages go out: at most one of the system, in front, and then those of user and assistant in turn. The
system message is what the client's own say before the conversation begins, and behind that what this request needs: who the model works for, the
tools (one line of JSON each), the form of a call, the line for `tool_choice`, and output rules. A plain conversation needs none of it and is sent as
it is. What has no role of its own there is text under a label, as in Composer's prompt: a tool's result, a system message between turns (many models
take none there), a message whose author has a name. Labelled text is the user's, and where some of a user's message is, all of it is. Messages of one
role in a row become one, with an empty line between them, since many models want the roles in turn; empty ones are left out.

A call is asked for in the dialect `invoke` behind a `trigger`: a text that is new for each request, so that nothing which was written before, no file
and no page, can be read as a call when the model quotes it. The trigger stands in the form of a call and nowhere else. Earlier calls are records,
`[called NAME, id ID, with ARGUMENTS]`, which are no calls. Custom tools stand here as functions (`pipeline.prompt.custom_tools`).

Invariants: the client's texts are verbatim, but that in a message with labels or records what looks like one is neutralised
(`pipeline.prompt.neutral`), so that no result can speak for the user. The system's own text is nobody's quotation and stays. Markers of Composer's
mean nothing here and stay too. The same request and trigger give the same messages. Reasoning echoed by the client is left out. Images and other
parts have no place: `check_parts` refuses the request. Nothing is guessed from the words of a message, and no turn is invented. Left alone: in which
order the website's own instructions come.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.identity import Identity
from pipeline.prompt.chat_body import image_refused
from pipeline.prompt.composer import CHOICE_LINES, INVENTORY_HEADING, ONE_CALL_LINE
from pipeline.prompt.neutral import LABELS, Neutral
from pipeline.prompt.output_rules import RULES_HEADING, output_rules
from pipeline.prompt.transcript import LABEL_NOTE, label, record, shown_word
from pipeline.request import ImagePart, Json, Message, OpaquePart, Request, Role, Tool, ToolMode

AGENT = (
    "You work as an agent for a program that reached you through an API. No tools are offered in this turn: do not write tool calls, and do not "
    "claim to have read, changed or run anything."
)
AGENT_WITH_TOOLS = (
    "You work as an agent for a program that reached you through an API. The program runs the tools listed here and sends back their results; there "
    "are no other tools."
)

CALL_FORM = """\
To call a tool, write this in the text of your answer, exactly in this form:
{trigger}<invoke name="NAME">ARGUMENTS</invoke>
NAME is a tool's name, and ARGUMENTS one JSON object, `{{}}` for none. `{trigger}` belongs to every call of this turn; what lacks it is not run. \
For example:
{trigger}<invoke name="example_tool">{{"lines": [3, 4], "text": "if ready:\\n    say(\\"go\\")"}}</invoke>
Write one such line for each call; text for the user goes before the first. \
Stop after the last: results come back under labels like `TOOL (NAME, ID):`. Lines like `[called …]` are records of earlier calls; never write one."""

TRIGGER_CHARS = 12


class SiteMessage(msgspec.Struct, frozen=True):
    """One message; `role` is system, user or assistant."""

    role: Role
    text: str


class _Noted:
    """Neutralises quoted text, and notes whether that changed anything."""

    def __init__(self) -> None:
        self.changed = False
        self.neutral = Neutral(self._text, LABELS.json, LABELS.restore)

    def _text(self, text: str) -> str:
        shown = LABELS.text(text)
        self.changed = self.changed or shown != text
        return shown


class _Block(msgspec.Struct, frozen=True):
    """A message of the client's on its way into one of the website's: its text as it came, and the records of its calls."""

    role: Role
    label: str
    text: str
    records: str
    needs_label: bool
    is_system: bool

    def shown(self, neutral: Neutral | None) -> str:
        """The text and its records; `neutral` is None where nothing has to be told apart."""
        text = self.text if neutral is None or self.is_system else neutral.text(self.text)
        return "\n".join(part for part in (text, self.records) if part)


def new_trigger(identity: Identity) -> str:
    """A text of one request's own; no file or page can hold it before.

    >>> new_trigger(Identity.frozen())
    '@@000000000001@@'
    """
    return f"@@{identity.new('')[-TRIGGER_CHARS:]}@@"


def teaches_calls(request: Request) -> bool:
    """Whether the form of a call is shown, and a trigger needed for it."""
    return bool(request.tools) and request.tool_choice.mode is not ToolMode.NONE


def check_parts(request: Request) -> None:
    """Refuse what is no text.

    Raises:
        UnsupportedParameter: an image or another part; `param` is its place.
    """
    for number, message in enumerate(request.messages):
        for index, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                raise image_refused(part, f"messages[{number}].content[{index}]")
            if isinstance(part, OpaquePart):
                raise UnsupportedParameter(f"{part.path} is no text, and this model takes only text.", param=f"{part.path}.type")


def site_messages(request: Request, *, trigger: str = "") -> tuple[SiteMessage, ...]:
    r"""The messages of one request; `trigger` is wanted where `teaches_calls` says so.

    >>> from pipeline.request import TextPart
    >>> said = [Message(role, (TextPart(text),)) for role, text in ((Role.SYSTEM, "Be brief."), (Role.USER, "Hello"), (Role.USER, "Hello?"))]
    >>> [(str(message.role), message.text) for message in site_messages(Request("m", tuple(said)))]
    [('system', 'Be brief.'), ('user', 'Hello\n\nHello?')]
    """
    first = next((place for place, message in enumerate(request.messages) if message.role is not Role.SYSTEM), len(request.messages))
    noted = _Noted()
    leading, blocks = _blocks(request.messages[:first], noted), _blocks(request.messages[first:], noted)
    messages = [_joined(role, list(run), noted) for role, run in groupby(blocks, lambda block: block.role)]
    system = [*([LABEL_NOTE] if noted.changed else []), *map(_unlabelled, leading), *_instructions(request, trigger)]
    if system:
        messages.insert(0, SiteMessage(Role.SYSTEM, "\n\n".join(system)))
    return tuple(messages) or (SiteMessage(Role.USER, ""),)


def prompt_text(request: Request, *, trigger: str = "") -> str:
    """What the model reads, as one text for the usage estimate."""
    return SiteWriter(trigger).text(request)


class SiteWriter:
    """Writes requests under one trigger, each once while no other is asked for: its text is weighed first, and then its messages are sent."""

    def __init__(self, trigger: str) -> None:
        self._trigger = trigger
        self._last: tuple[Request, tuple[SiteMessage, ...]] | None = None

    def messages(self, request: Request) -> tuple[SiteMessage, ...]:
        """`site_messages` of it."""
        if self._last is None or self._last[0] is not request:
            self._last = request, site_messages(request, trigger=self._trigger)
        return self._last[1]

    def text(self, request: Request) -> str:
        """`prompt_text` of it."""
        return "\n\n".join(message.text for message in self.messages(request))


def show_messages(messages: Sequence[Message]) -> str:
    r"""What a prompt grows by at most when these messages, none of them the system's, are added to it.

    Each has its label here, and there is one more: a system message behind them needs one that it would not need in front.

    >>> from pipeline.request import TextPart
    >>> show_messages([Message(Role.USER, (TextPart("Hello"),))])
    '\n\nUSER: Hello\n\nSYSTEM: '
    """
    noted = _Noted()
    shown = [f"{block.label} {block.shown(noted.neutral)}" for block in _blocks(messages, noted)]
    return "".join(f"\n\n{text}" for text in ([LABEL_NOTE] if noted.changed else []) + shown + ["SYSTEM: "])


def encode_body(messages: Sequence[SiteMessage], model: str, identity: Identity) -> bytes:
    """The body that is posted, under ids of its own: the website is sent the whole conversation and need remember none."""
    body: dict[str, Json] = {
        "context": [],
        "model": model,
        "id": identity.new("chat_"),
        "messages": [
            {"id": identity.new("msg_"), "role": message.role.value, "parts": [{"type": "text", "text": message.text}]} for message in messages
        ],
        "trigger": "submit-message",
    }
    return msgspec.json.encode(body)


def _instructions(request: Request, trigger: str) -> list[str]:
    """What is not the client's own text, block by block."""
    blocks: list[str] = []
    if request.tools:
        mode, name = request.tool_choice.mode, request.tool_choice.name
        choice = CHOICE_LINES[mode].format(name=shown_word(name or "", LABELS))
        if not request.options.parallel_tool_calls and mode is not ToolMode.NONE:
            choice = f"{choice} {ONE_CALL_LINE}"
        blocks += [AGENT_WITH_TOOLS, "\n".join([INVENTORY_HEADING, *map(_tool_line, request.tools)])]
        blocks += [CALL_FORM.format(trigger=trigger), choice] if teaches_calls(request) else [choice]
    elif request.agent:
        blocks.append(AGENT)
    if rules := output_rules(request, LABELS):
        blocks.append("\n".join([RULES_HEADING, *rules]))
    return blocks


def _tool_line(tool: Tool) -> str:
    shown: dict[str, Json] = {"name": tool.name}
    if tool.description:
        shown["description"] = tool.description
    shown["parameters"] = tool.parameters
    return LABELS.value(shown)


def _blocks(messages: Sequence[Message], noted: _Noted) -> list[_Block]:
    """One block for each message that says something."""
    blocks: list[_Block] = []
    called: dict[str, str] = {}
    for message in messages:
        called.update((call.id, call.name) for call in message.tool_calls)
        text, is_system = message.text, message.role is Role.SYSTEM
        records = "\n".join(record(call, noted.neutral) for call in message.tool_calls)
        role = Role.ASSISTANT if message.role is Role.ASSISTANT else Role.USER
        if text or records or message.role is Role.TOOL:
            needs_label = message.name is not None or message.role is Role.TOOL or is_system
            blocks.append(_Block(role, label(message, called, noted.neutral), text, records, needs_label, is_system))
    return blocks


def _joined(role: Role, blocks: Sequence[_Block], noted: _Noted) -> SiteMessage:
    """The blocks of one role in a row, all with their labels where one needs it, and neutralised where there is a label or a record."""
    is_labelled = any(block.needs_label for block in blocks)
    neutral = noted.neutral if is_labelled or any(block.records for block in blocks) else None
    shown = [(block.label if is_labelled else "", block.shown(neutral)) for block in blocks]
    return SiteMessage(role, "\n\n".join(" ".join(part for part in parts if part) for parts in shown))


def _unlabelled(block: _Block) -> str:
    """What a system message in front says; its author's name, if it has one, stays."""
    return block.text if block.label == "SYSTEM:" else f"{block.label} {block.text}"
