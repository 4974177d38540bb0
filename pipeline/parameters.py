"""What becomes of every request parameter, on each family of upstreams: the one table.

Theory of operation: a row of `PARAMETERS` is one parameter of a Chat Completions body, or those of its values that fare alike. It says which values
are taken and, for each family, what is done (`Effect`) and in a sentence for users what that means. Three things are made from it: parsing checks
types and ranges, refuses what is `REJECTED` and sets aside what no parser reads; `ignored_by` names what has no effect, which is the response header
`penstock-ignored`; and docs/parameters.md is printed. A test sends each row through a server and compares what happened.

Invariants: every field of a body has a row, the last one stands for all that are not named. What is ignored on one family is passed on, ignored
or mapped on the others, never half read: such a field is kept as the client sent it (`Request.extra`).
"""

from collections.abc import Collection
from typing import Any

from pipeline.messages_fields import KEPT_AND_READ
from pipeline.parameter_effects import ANY_OTHER, EFFECTS, MAX_COUNT, Effect, Family, Outcome, Parameter
from pipeline.request import Json, Request

__all__ = ["ANY_OTHER", "BY_NAME", "EFFECTS", "MAX_COUNT", "PARAMETERS", "Effect", "Family", "Outcome", "Parameter", "ignored_by", "parameter"]


def _both(name: str, shape: Any, effect: Effect, says: str = "") -> Parameter:
    return Parameter(name, Outcome(effect, says), Outcome(effect, says), shape)


def _kept(
    name: str,
    shape: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    responses: Outcome | None = None,
    anthropic: Outcome | None = None,
) -> Parameter:
    ignored, passed_on = Outcome(Effect.IGNORED), Outcome(Effect.PASSED_ON)
    return Parameter(name, ignored, passed_on, shape, low, high, openai_responses=responses, anthropic=anthropic or ignored)


def _rejected(name: str, shape: Any, says: str, *harmless: Json, low: float | None = None, high: float | None = None) -> Parameter:
    return Parameter(name, Outcome(Effect.REJECTED, says), Outcome(Effect.REJECTED, says), shape, low, high, harmless)


def _limit(name: str) -> Parameter:
    return Parameter(
        name,
        Outcome(Effect.EMULATED, "The model is told, and the answer is cut at that many estimated tokens, with `finish_reason: length`."),
        Outcome(Effect.HONOURED, "Sent under the name in the profile's `token_limit_field`."),
        int,
        1,
        MAX_COUNT,
        openai_responses=Outcome(Effect.HONOURED, "Sent as `max_output_tokens`."),
        anthropic=Outcome(Effect.HONOURED, "Sent as `max_tokens`; where there is no limit, the profile's `max_tokens` is sent."),
    )


_SHOWS_REASONING = "shows the model's reasoning in the answer where `reasoning.output` is `on-request`"
_LACKING = Outcome(Effect.IGNORED, "The Responses API has none.")
_LEGACY = "A notice `legacy_functions` says so."

# Sources: OpenAI's Chat Completions reference for names, types and ranges; max_output_tokens and text are the Responses spelling of the same wish.
PARAMETERS = (
    Parameter(
        "model",
        Outcome(Effect.HONOURED, "Chooses the upstream and the model there; an empty one is `composer-2.5`."),
        Outcome(Effect.HONOURED, "Chooses the upstream, which is asked for the model that the route names."),
        "text",
        sdk_bridge=Outcome(
            Effect.HONOURED,
            "Chooses the upstream and the model there, with the variant of the bridge's list that the id names; an empty one is `composer-2.5`.",
        ),
    ),
    Parameter(
        "messages",
        Outcome(Effect.HONOURED, "Sent as one prompt. Reasoning in the history is left out."),
        Outcome(Effect.HONOURED, "Results of tools are put behind their calls, with the notice `tool_results_moved`."),
        "an array that is not empty",
        openai_responses=Outcome(
            Effect.HONOURED,
            "Each message, call and result is an item of `input`; a system message of text at the very beginning is `instructions`. Reasoning in the "
            "history is left out, with the notice `reasoning_dropped`.",
        ),
        anthropic=Outcome(
            Effect.HONOURED,
            "System messages in front are `system`; one between the others is text of the user's, with the notice `system_message_as_user`, unless "
            "the profile's `system_messages` is true. Results are put behind their calls, with the notice `tool_results_moved`. Reasoning in the "
            "history is left out, with the notice `reasoning_dropped`, unless the profile's `unsigned_thinking` is true.",
        ),
        sdk_bridge=Outcome(
            Effect.HONOURED,
            "Sent as one prompt. With the results of the calls that an agent's run waits for, that run goes on, and nothing is sent twice. Reasoning "
            "in the history is left out.",
        ),
        website=Outcome(
            Effect.HONOURED,
            "Sent as messages of system, user and assistant; results of tools are text of the user. Images are 400. Reasoning in the history is left "
            "out.",
        ),
    ),
    _both("stream", "true or false", Effect.HONOURED),
    _both("stream_options", "an object", Effect.HONOURED, "`include_usage`; any other key is reported."),
    Parameter(
        "tools",
        Outcome(
            Effect.HONOURED,
            "Functions and custom tools, nested or flat, the latter as functions with one text. Described in the prompt; the calls in the model's "
            "text are tool calls.",
        ),
        Outcome(
            Effect.HONOURED, "Functions, nested or flat; and custom tools, as functions with one text where the profile's `custom_tools` is false."
        ),
        "an array",
        sdk_bridge=Outcome(
            Effect.HONOURED,
            "Functions and custom tools, nested or flat, the latter as functions with one text. Offered to the agent as such; its calls are tool "
            "calls, and text is only text.",
        ),
        anthropic=Outcome(Effect.HONOURED, "Functions, nested or flat; and custom tools, as functions with one text."),
    ),
    Parameter(
        "tool_choice",
        Outcome(Effect.HONOURED, "The model is told; behind `none`, no call is passed on."),
        Outcome(Effect.HONOURED),
        "text, or an object",
        values="auto, none, allowed_tools",
        sdk_bridge=Outcome(Effect.HONOURED, "Behind `none`, the agent is offered no tools."),
    ),
    Parameter(
        "tool_choice",
        Outcome(
            Effect.EMULATED,
            "The model is told. An answer without such a call carries the notice `tool_choice_unsatisfied`. With `tools.strict` it is an error (502) "
            "of that name, after one more try when it is not streamed.",
        ),
        Outcome(Effect.HONOURED),
        "text, or an object",
        values="required, or a function",
        anthropic=Outcome(Effect.HONOURED, "The model does not think then, with the notice `thinking_left_out`: the API takes no wish for both."),
    ),
    Parameter(
        "parallel_tool_calls",
        Outcome(Effect.HONOURED, "The model is told; behind `false`, every call but the first is left out, with the notice `parallel_call_dropped`."),
        Outcome(Effect.HONOURED),
        "true or false",
        anthropic=Outcome(Effect.HONOURED, "Sent as `disable_parallel_tool_use`."),
        sdk_bridge=Outcome(Effect.HONOURED, "Behind `false`, calls are passed on one a request: a further one waits for the next."),
    ),
    Parameter(
        "stop",
        Outcome(Effect.EMULATED, "The model is told, and the answer ends just before the first of the texts, with `finish_reason: stop`."),
        Outcome(Effect.HONOURED),
        "text, or an array of text",
        openai_responses=Outcome(
            Effect.EMULATED, "The API has none: the answer ends just before the first of the texts, with `finish_reason: stop`."
        ),
        anthropic=Outcome(
            Effect.HONOURED, "Sent as `stop_sequences`; a text of nothing but white space, which the API refuses, ends the answer here."
        ),
    ),
    _limit("max_completion_tokens"),
    _limit("max_output_tokens"),
    _limit("max_tokens"),
    Parameter(
        "response_format",
        Outcome(
            Effect.EMULATED,
            "The model is told. A code fence around the JSON is removed, and the answer is validated. One that fails is, after one more try, an "
            "error (502) `response_format_unsatisfied`. A stream has left by then: only the log has a notice of that name.",
        ),
        Outcome(Effect.HONOURED),
        "an object",
        values="json_object, json_schema",
        openai_responses=Outcome(Effect.HONOURED, "Sent as `text.format`."),
        anthropic=Outcome(
            Effect.EMULATED,
            "A schema whose objects are all closed (`strict`, or `additionalProperties: false`) is sent as `output_config.format` where the "
            "profile's `structured_outputs` is true. Else, and for JSON of any form, the model is told, and nobody checks.",
        ),
    ),
    Parameter(
        "text",
        Outcome(Effect.MAPPED, "`text.format` is `response_format`; any other key is reported."),
        Outcome(
            Effect.MAPPED,
            "`text.format` is `response_format`, and `text.verbosity` is `verbosity` where the profile's `verbosity` is true; any other key is "
            "reported.",
        ),
        "an object",
        anthropic=Outcome(Effect.MAPPED, "`text.format` is `response_format`; any other key is reported."),
    ),
    Parameter(
        "reasoning_effort",
        Outcome(
            Effect.EMULATED,
            "Takes the model's variant where the list has one (`gpt-5.2` with `high` is `gpt-5.2-high`); else how much the model thinks is its own "
            f"choice. Any but `none` {_SHOWS_REASONING}.",
        ),
        Outcome(Effect.HONOURED, f"Ignored where the profile takes none. Any but `none` {_SHOWS_REASONING}."),
        "text",
        openai_responses=Outcome(
            Effect.HONOURED, f"Sent as `reasoning.effort`, and ignored where the profile takes none. Any but `none` {_SHOWS_REASONING}."
        ),
        anthropic=Outcome(
            Effect.HONOURED,
            "The model thinks: as `output_config.effort` says where the profile's `thinking` is `adaptive`, for a number of tokens where it is "
            f"`budget`; where it is `off`, it is ignored. `none` is sent as no thinking. Any but `none` {_SHOWS_REASONING}.",
        ),
        sdk_bridge=Outcome(
            Effect.EMULATED,
            "Takes the model's variant of that effort where the bridge's list has one; else how much the model thinks is its own choice. Any but "
            f"`none` {_SHOWS_REASONING}.",
        ),
    ),
    _both(
        "reasoning",
        "true or false, or an object",
        Effect.MAPPED,
        f"`effort` is `reasoning_effort`; `true`, or an object without `enabled: false` and `exclude: true`, {_SHOWS_REASONING}. Any other key is "
        "reported; `summary` is not where a Responses server is asked for one.",
    ),
    _both("functions", "an array", Effect.MAPPED, f"They are `tools`. {_LEGACY}"),
    _both("function_call", "text, or an object", Effect.MAPPED, f"It is `tool_choice`. {_LEGACY}"),
    _kept(
        "temperature",
        float,
        0,
        2,
        anthropic=Outcome(Effect.PASSED_ON, "Ignored where it is over 1, and any but 1 where the model is asked to think: the API refuses them."),
    ),
    _kept("top_p", float, 0, 1, anthropic=Outcome(Effect.PASSED_ON, "Ignored where it is below 0.95 and the model is asked to think.")),
    _kept("presence_penalty", float, -2, 2, responses=_LACKING),
    _kept("frequency_penalty", float, -2, 2, responses=_LACKING),
    _kept("logit_bias", dict[str, float], -100, 100, responses=_LACKING),
    _kept("seed", int, responses=_LACKING),
    _kept("user", str),
    _kept("metadata", dict[str, Any]),
    _kept("store", bool, responses=Outcome(Effect.IGNORED, "`false` is always sent: nothing is kept between requests.")),
    _kept("service_tier", str),
    _kept("prediction", dict[str, Any], responses=_LACKING),
    _kept("verbosity", str, responses=Outcome(Effect.MAPPED, "It is `text.verbosity`.")),
    _kept("web_search_options", dict[str, Any], responses=_LACKING),
    _rejected("n", int, "One answer a request.", 1, low=1, high=128),
    _rejected("logprobs", bool, "", False),
    _rejected("top_logprobs", int, "", 0, low=0, high=20),
    _rejected("audio", dict[str, Any], ""),
    _rejected("modalities", list[str], "Text only.", ["text"], []),
    _rejected("background", bool, "", False),
    Parameter(
        ANY_OTHER,
        Outcome(Effect.IGNORED),
        Outcome(Effect.PASSED_ON, "One that would choose a host, a key, a model or a transport is ignored."),
        "anything",
        anthropic=Outcome(Effect.IGNORED),
    ),
)

BY_NAME = {row.name: row for row in PARAMETERS if row.name != ANY_OTHER}
"""The row of a name; of a parameter with several rows the last, since all of them have the same checks."""

_OTHERS = PARAMETERS[-1]


def parameter(name: str) -> Parameter:
    """The row of a field of a body."""
    return BY_NAME.get(name, _OTHERS)


def ignored_by(family: Family, request: Request, left_out: Collection[str] = ()) -> tuple[str, ...]:
    """The client's parameters that have no effect on an upstream of this family, by name, in the order sent.

    Args:
        family: the upstream's.
        request: as it is written for the upstream.
        left_out: the names that this upstream's own profile keeps out of what it is sent.

    >>> request = Request("m", (), extra={"temperature": 0.2, "top_k": 5}, ignored=("reasoning.summary",))
    >>> ignored_by(Family.COMPOSER, request)
    ('reasoning.summary', 'temperature', 'top_k')
    >>> ignored_by(Family.OPENAI_CHAT, request, left_out=["top_k"])
    ('reasoning.summary', 'top_k')
    """
    kept = (name for name in request.extra if name in left_out or parameter(name).outcome(family).effect is Effect.IGNORED)
    kept = (name for name in kept if request.dialect == "openai" or name not in KEPT_AND_READ)
    # read, and still nothing for an upstream that takes no effort
    effort = ("reasoning_effort",) if request.options.reasoning_effort and "reasoning_effort" in left_out else ()
    return tuple(dict.fromkeys((*request.ignored, *kept, *effort)))
