"""The other fields of a body: which stay, which are mapped, which reach no upstream (N6, N11).

Theory of operation: the fields come in; those that Chat knows, or nobody does, come out as they are, for the readers and for upstreams that take
them. What only another API can make anything of is left out and named. What depends on the upstream (the name of the token limit, verbosity, the key
of its prompt cache, whether it takes an effort) is not decided here: the same request may go to several.
"""

from pipeline.parse.body import is_object
from pipeline.parse.quirks.ledger import Ledger
from pipeline.request import Json

DROPPED = frozenset(
    {
        *("store", "include", "truncation", "prompt_cache_retention", "service_tier", "user", "background", "conversation", "safety_identifier"),
        *("previous_response_id", "max_tool_calls", "client_metadata", "prompt", "context_management"),
        *("anthropic_version", "anthropic_beta", "betas", "container", "mcp_servers", "output_config", "inference_geo", "top_k"),
    }
)
"""N6, N11 drop: state that OpenAI keeps, its billing and its policies, and what else only Responses or only Anthropic has."""

# read by the other rules
READ = frozenset({"messages", "input", "instructions", "system", "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls"})
READ_HERE = frozenset({"metadata", "stop_sequences", "stream_options", "thinking"})

CONVERSATION = "cursorConversationId"
THINKS = ("enabled", "adaptive")


def other_fields(fields: dict[str, Json], ledger: Ledger) -> dict[str, Json]:
    """N11: the fields besides the conversation and its tools, without any null."""
    given = {name: value for name, value in fields.items() if value is not None}
    ledger.ignore(*(name for name in given if name in DROPPED))
    if given.get("messages") and given.get("input"):
        ledger.ignore("input")
    found = {name: value for name, value in given.items() if name not in DROPPED | READ | READ_HERE}
    return without_no_effort(found, ledger) | _thinking(given, ledger) | _stop(given, ledger) | _stream_options(given, ledger)


def conversation_id(fields: dict[str, Json], ledger: Ledger) -> str | None:
    """N11 map: Cursor's id of the conversation; whatever else `metadata` holds reaches no upstream."""
    metadata = fields.get("metadata")
    if not is_object(metadata):
        if metadata is not None:
            ledger.ignore("metadata")
        return None
    given = metadata.get(CONVERSATION)
    found = given if isinstance(given, str) and given else None
    if len(metadata) > (found is not None):
        ledger.ignore("metadata")
    return found


def without_no_effort(fields: dict[str, Json], ledger: Ledger) -> dict[str, Json]:
    """N11 map: an effort of `none` is no effort; many models refuse the word.

    >>> without_no_effort({"reasoning": {"effort": "none"}, "seed": 1}, Ledger())
    {'seed': 1}
    """
    reasoning = fields.get("reasoning")
    effort = fields.get("reasoning_effort") or (reasoning.get("effort") if is_object(reasoning) else None)
    if effort != "none":
        return fields
    silenced = [name for name in ("reasoning_effort", "reasoning") if name in fields]
    ledger.ignore(*silenced)
    return {name: value for name, value in fields.items() if name not in silenced}


def _thinking(fields: dict[str, Json], ledger: Ledger) -> dict[str, Json]:
    """N11 map: Anthropic's `thinking` asks to see reasoning; how much, and that there be none, only its own models can be told."""
    given = fields.get("thinking")
    if given is None:
        return {}
    is_read = is_object(given) and given.get("type") in THINKS and "reasoning" not in fields and "reasoning_effort" not in fields
    if not is_read:
        ledger.ignore("thinking")
        return {}
    ledger.ignore(*(f"thinking.{name}" for name, value in given.items() if name != "type" and value is not None))
    return {"reasoning": {"enabled": True}}


def _stop(fields: dict[str, Json], ledger: Ledger) -> dict[str, Json]:
    """N11 map: `stop_sequences` is `stop`, unless the body has that too."""
    if "stop_sequences" not in fields:
        return {}
    if "stop" not in fields:
        return {"stop": fields["stop_sequences"]}
    if fields["stop"] != fields["stop_sequences"]:
        ledger.ignore("stop_sequences")
    return {}


def _stream_options(fields: dict[str, Json], ledger: Ledger) -> dict[str, Json]:
    """N11 stream: a stream always ends with its usage, whatever `stream_options` says, and nothing else has the field."""
    given = fields.get("stream_options")
    if is_object(given):
        ledger.ignore(*(f"stream_options.{name}" for name, value in given.items() if name != "include_usage" and value is not None))
    elif given is not None:
        ledger.ignore("stream_options")
    return {"stream_options": {"include_usage": True}} if fields.get("stream") is True else {}
