"""The options of a request as the fields of a Messages body: limit, stop texts, reasoning, and the form of the answer.

Theory of operation: a request comes in with the target's profile; `MessagesOptions` goes out: the fields, and what is not in them. A client of the
same API has its `thinking` and `output_config` written as it sent them, but for what the profile says that the target does not take. For any other,
a wish for reasoning becomes `thinking` in the way that the profile names:

- adaptive: the model decides how much it thinks, and the effort is `output_config.effort`;
- budget: the effort is a number of tokens, half of the answer's limit at the most, and 1,024 at the least; with less room there is no thinking;
- with thinking, the API takes no forced call and no other temperature than 1: so there is no thinking for a forced call, and else no temperature;
- with a budget, the API wants to see the thoughts in front of the calls whose results it is sent: where they are not in the history, no thinking;
- an assistant's message that is to be continued has to begin with a thought: where it does not, no thinking.

Where such a rule leaves the thinking out, a Notice says so, whoever asked for it.

A JSON Schema is `output_config.format` where the target takes one and the schema is closed, which the API demands; else the model is told in words
(`rules`), as it is for JSON of any form, and nobody checks. Stop texts of nothing but white space, which the API refuses, are `stops`.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import TypeGuard

import msgspec

from pipeline.events import Notice
from pipeline.prompt.messages_places import is_blank
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.prompt.neutral import LABELS
from pipeline.prompt.output_rules import RULES_HEADING, output_rules
from pipeline.request import AnswerFormat, Json, Message, Options, Request, Role, Thought, ToolMode

READ = frozenset({"thinking", "output_config"})
"""Fields of a client of the same API that are written here."""

OWN_FORMATS = ("output_config.", "output_format.")
"""How the place of a schema begins in a body of the same API."""

EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
"""A client's word for an effort -> the API's; any other is left as it is."""

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
USUAL_BUDGET, LEAST_BUDGET = BUDGETS["medium"], 1024

NO_THINKING = {"type": "disabled"}
THINKING = ("enabled", "adaptive", "between_tools")
"""The types that ask for it."""

FORCED = "the API allows no thinking where a call is forced"
CONTINUED = "the message that the model is to continue does not begin with a thought, as the API demands"
NO_ROOM = f"the answer's limit leaves less than the {LEAST_BUDGET} tokens that the API wants for thinking"
THOUGHTS_LACK = "the thoughts in front of the last calls are not in the history, and the API demands them"


class MessagesOptions(msgspec.Struct, frozen=True):
    """The fields, and beside them: `rules` for the system's text, `stops` for the flow, and what was left out."""

    fields: dict[str, Json]
    rules: str = ""
    stops: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def written_options(request: Request, profile: MessagesProfile) -> MessagesOptions:
    """The options of a request.

    >>> made = written_options(Request("m", (), options=Options(max_tokens=9000, reasoning_effort="high")), MessagesProfile(thinking="budget"))
    >>> made.fields
    {'max_tokens': 9000, 'thinking': {'type': 'enabled', 'budget_tokens': 4500}}
    """
    options, is_own = request.options, _is_own(request)
    limit = options.max_tokens or profile.max_tokens
    fields: dict[str, Json] = {"max_tokens": limit}
    ignored: list[str] = []
    notices: list[Notice] = []
    if stops := [text for text in options.stop if text.strip()]:
        fields["stop_sequences"] = stops
    thinking = _own_thinking(request, profile, limit, ignored, notices) if is_own else _thinking(request, profile, limit, ignored, notices)
    if thinking is not None:
        fields["thinking"] = thinking
    config = _own_config(request, profile, ignored) if is_own else _config(options, profile)
    is_native = profile.structured_outputs and options.answer_format.kind == "json_schema" and (is_own or _is_closed(options.answer_format))
    if is_native:
        config["format"] = {"type": "json_schema", "schema": options.answer_format.schema or {}, **options.answer_format.extra}
    if config:
        fields["output_config"] = config
    rules = [] if is_native else output_rules(_format_alone(request), LABELS)
    return MessagesOptions(
        fields,
        "\n".join([RULES_HEADING, *rules]) if rules else "",
        tuple(text for text in options.stop if not text.strip()),
        (*ignored, *_sampling(request, fields), *_unknown(request)),
        tuple(notices),
    )


def _is_own(request: Request) -> bool:
    """Whether the options are written in the API's own words; where nothing is asked for, both ways give the same."""
    return bool(request.extra.keys() & READ) or request.options.answer_format.path.startswith(OWN_FORMATS)


# -- reasoning


def _own_thinking(request: Request, profile: MessagesProfile, limit: int, ignored: list[str], notices: list[Notice]) -> Json:
    """What a client of the same API wrote; a target that knows only budgets gets one."""
    sent: Json = request.extra.get("thinking")
    if sent is None:
        return None
    if profile.thinking == "off":
        ignored.append("thinking")
        return None
    kind = sent.get("type")
    if kind not in THINKING:
        return sent
    if profile.thinking == "budget" and kind != "enabled":
        if _is_forced(request):
            return _left_out(FORCED, notices)
        return _with_budget(request, limit, notices)
    lack = _lack(request, has_budget=kind == "enabled")  # such as thoughts of another upstream, which were left out
    if lack:
        return _left_out(lack, notices)
    return sent


def _thinking(request: Request, profile: MessagesProfile, limit: int, ignored: list[str], notices: list[Notice]) -> Json:
    options = request.options
    if options.reasoning_effort == "none":
        return None if profile.thinking == "off" else NO_THINKING
    if not options.reasoning and not options.reasoning_effort:
        return None
    if profile.thinking == "off":
        ignored.append("reasoning_effort" if options.reasoning_effort else "reasoning")
        return None
    if profile.thinking == "adaptive" and options.reasoning_effort and not profile.reasoning_effort:
        ignored.append("reasoning_effort")
    if _is_forced(request):
        return _left_out(FORCED, notices)
    if profile.thinking == "budget":
        return _with_budget(request, limit, notices)
    lack = _lack(request, has_budget=False)
    if lack:
        return _left_out(lack, notices)
    return {"type": "adaptive", "display": "summarized"}


def _with_budget(request: Request, limit: int, notices: list[Notice]) -> Json:
    budget = _budget(request.options, limit)
    lack = NO_ROOM if budget is None else _lack(request, has_budget=True)
    if lack:
        return _left_out(lack, notices)
    return {"type": "enabled", "budget_tokens": budget}


def _left_out(why: str, notices: list[Notice]) -> None:
    notices.append(Notice("thinking_left_out", why))


def _is_forced(request: Request) -> bool:
    return request.tool_choice.mode in (ToolMode.REQUIRED, ToolMode.FUNCTION)


def _lack(request: Request, *, has_budget: bool) -> str:
    """What the history lacks that the API demands with thinking; nothing if it lacks nothing."""
    if _is_continued_without(request):
        return CONTINUED
    return THOUGHTS_LACK if has_budget and _lacks_thoughts(request) else ""


def _budget(options: Options, limit: int) -> int | None:
    wanted = options.reasoning_budget or BUDGETS.get(options.reasoning_effort or "", USUAL_BUDGET)
    budget = min(wanted, limit // 2)
    return budget if budget >= LEAST_BUDGET else None


def _lacks_thoughts(request: Request) -> bool:
    """Whether the last message is to have results of calls, and the turn that made them does not begin with a thought."""
    messages = [*request.messages]
    while messages and messages[-1].role in (Role.USER, Role.SYSTEM):
        messages.pop()  # one message with the results before it
    if not messages or messages[-1].role is not Role.TOOL:
        return False
    run = [*takewhile(lambda message: message.role in (Role.ASSISTANT, Role.TOOL), reversed(messages))]
    first = next((message for message in reversed(run) if message.role is Role.ASSISTANT), None)
    return first is not None and not _begins_with_thought(first)


def _is_continued_without(request: Request) -> bool:
    """Whether the last message is the assistant's, which the model is to continue, and does not begin with a thought."""
    run = [*takewhile(lambda message: message.role is Role.ASSISTANT, reversed(request.messages))]
    return bool(run) and not _begins_with_thought(run[-1])


def _begins_with_thought(message: Message) -> bool:
    return isinstance(next((block for block in message.blocks if not is_blank(block)), None), Thought)


# -- the rest


def _own_config(request: Request, profile: MessagesProfile, ignored: list[str]) -> dict[str, Json]:
    sent: dict[str, Json] = request.extra.get("output_config") or {}
    if "effort" in sent and not profile.reasoning_effort:
        ignored.append("output_config.effort")
        return {name: value for name, value in sent.items() if name != "effort"}
    return dict(sent)


def _config(options: Options, profile: MessagesProfile) -> dict[str, Json]:
    """A budget says the effort already, and models that want one know no other word for it."""
    effort = options.reasoning_effort
    if not effort or effort == "none" or not profile.reasoning_effort or profile.thinking != "adaptive":
        return {}
    return {"effort": EFFORTS.get(effort, effort)}


def _is_closed(answer_format: AnswerFormat) -> bool:
    """Whether the API takes a schema: each of its objects says that it has no other members."""
    return bool(answer_format.strict) or (bool(answer_format.schema) and all(_objects_are_closed(answer_format.schema)))


def _objects_are_closed(schema: Json) -> Iterator[bool]:
    waiting: list[Json] = [schema]
    while waiting:
        value = waiting.pop()
        if _is_object(value):
            if value.get("type") == "object" or "properties" in value:
                yield value.get("additionalProperties") is False
            waiting += value.values()
        elif _is_list(value):
            waiting += value


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)


def _format_alone(request: Request) -> Request:
    """The request with the form of its answer as its only constraint: the API has fields for the others."""
    return msgspec.structs.replace(request, options=Options(answer_format=request.options.answer_format))


def _sampling(request: Request, fields: dict[str, Json]) -> Iterator[str]:
    """The numbers of sampling of another API's client that this one refuses."""
    if _is_own(request):
        return
    thinks = fields.get("thinking") not in (None, NO_THINKING)
    temperature, top_p = request.extra.get("temperature"), request.extra.get("top_p")
    if temperature is not None and (temperature > 1 or (thinks and temperature != 1)):
        yield "temperature"
    if top_p is not None and thinks and top_p < 0.95:
        yield "top_p"


def _unknown(request: Request) -> Iterator[str]:
    """What the API has no field for."""
    if request.options.verbosity is not None:
        yield "text.verbosity"
