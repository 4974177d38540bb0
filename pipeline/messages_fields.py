"""What becomes of every field of a Messages body, on upstreams of the same API and on all others: the one table.

Theory of operation: a row of `FIELDS` is one field of Anthropic's API. It says which values are taken, and what is done (`Effect`) where the upstream
has another API and where it has the same one. Two things are made from it: parsing (`pipeline.parse.messages`) refuses what is `REJECTED`, checks the
ranges of what is passed on, and leaves out what is ignored everywhere; and a table of docs/messages.md is printed. A test sends each row through a
server and compares what happened.

Most fields have a twin in Chat Completions, whose table (`pipeline.parameters`) says how that fares on each family of upstreams. A field without a
row that Chat Completions has is checked as there.
"""

from typing import Any

import msgspec

from pipeline.parameter_effects import MAX_COUNT, Effect, Outcome, in_words


class Field(msgspec.Struct, frozen=True):
    """One row.

    `shape` is the type, or the name of one that a parser of its own checks; `low` and `high` bound a number. `elsewhere` is what is done on upstreams
    of other APIs, `anthropic` on one of the same. `code` is the error's, of what is refused.
    """

    name: str
    shape: Any
    elsewhere: Outcome
    anthropic: Outcome
    low: float | None = None
    high: float | None = None
    code: str = ""

    @property
    def takes(self) -> str:
        """The type and the range, in words."""
        return in_words(self.shape, self.low, self.high)

    @property
    def is_left_out(self) -> bool:
        """Whether no upstream gets it."""
        return self.elsewhere.effect is self.anthropic.effect is Effect.IGNORED


def _twin(name: str, shape: Any, elsewhere: str, anthropic: str = "", low: float | None = None, high: float | None = None) -> Field:
    """One that is read for every upstream; `elsewhere` says as which parameter of Chat Completions."""
    return Field(name, shape, Outcome(Effect.MAPPED, elsewhere), Outcome(Effect.HONOURED, anthropic), low, high)


def _passed_on(name: str, shape: Any, elsewhere: Outcome, low: float | None = None, high: float | None = None) -> Field:
    return Field(name, shape, elsewhere, Outcome(Effect.PASSED_ON), low, high)


def _left_out(name: str, says: str = "") -> Field:
    return Field(name, "anything", Outcome(Effect.IGNORED, says), Outcome(Effect.IGNORED, says))


def _refused(name: str, code: str, says: str) -> Field:
    return Field(name, "anything", Outcome(Effect.REJECTED, says), Outcome(Effect.REJECTED, says), code=code)


_IGNORED = Outcome(Effect.IGNORED)
_A_HEADER = "What it asks for needs a header `anthropic-beta`, which is the operator's to set."

# Source for names, types and ranges: the parameters of the official client's messages.create and beta.messages.create.
FIELDS = (
    _twin("model", "text", "`model`."),
    _twin(
        "messages",
        "an array that is not empty",
        "`messages`.",
        "Blocks and their fields as they were sent, but for what the API would refuse: results that are not behind their calls, reasoning of another "
        "upstream, a system message where the profile takes none.",
    ),
    _twin("system", "text, or an array of text blocks", "A system message in front."),
    _twin("max_tokens", int, "`max_tokens`. It has to be there.", "It has to be there.", 1, MAX_COUNT),
    _twin("stop_sequences", "an array of text", "`stop`.", "A text of nothing but white space ends the answer here."),
    _twin("stream", "true or false", "`stream`."),
    _twin(
        "tools",
        "an array",
        "`tools`. Tools of a dated type, such as `web_search_20250305`, are left out, with the notice `hosted_tool_ignored`.",
        "The tools that the client defines; those of a dated type are left out, with the notice `hosted_tool_ignored`.",
    ),
    _twin("tool_choice", "an object", "`tool_choice`, and `parallel_tool_calls` for its `disable_parallel_tool_use`."),
    _twin(
        "thinking",
        "an object",
        "`reasoning`, and `reasoning_effort`: a budget below 4,096 tokens is `low`, below 16,384 `medium`, any other `high`; `adaptive` is `medium`.",
        "As it was sent. Where the profile's `thinking` is `budget`, `adaptive` becomes a number of tokens; where it is `off`, it is ignored.",
    ),
    _twin(
        "output_config",
        "an object",
        "`effort` is `reasoning_effort`, and `format` is `response_format`. Nothing else in it has an effect.",
        "As it was sent, but for what the profile does not take: `effort`, and `format`, of which the model is then told.",
    ),
    _twin("output_format", "an object", "`output_config.format`, which goes before it.", "Sent as `output_config.format`, which goes before it."),
    _passed_on("temperature", float, Outcome(Effect.MAPPED, "`temperature`."), 0, 1),
    _passed_on("top_p", float, Outcome(Effect.MAPPED, "`top_p`."), 0, 1),
    _passed_on("top_k", int, _IGNORED, 0, MAX_COUNT),
    _passed_on(
        "metadata", dict[str, Any], Outcome(Effect.IGNORED, "Its `user_id` names the conversation here; no upstream gets more of it than a hash.")
    ),
    _passed_on("cache_control", dict[str, Any], _IGNORED),
    _refused("thread", "thread_unsupported_request", "No conversation is held here: send the whole of it, without thread."),
    _refused("compaction", "compaction_unavailable", "No conversation is summarized here: ask for a summary in a message of its own."),
    _left_out("anthropic_beta", _A_HEADER),
    _left_out("anthropic_version"),
    _left_out("betas", _A_HEADER),
    _left_out("billing_policy"),
    _left_out("container"),
    _left_out("context_management"),
    _left_out("diagnostics"),
    _left_out("fallback_credit_token"),
    _left_out("fallbacks", "A route's further targets are its fallbacks."),
    _left_out("inference_geo"),
    _left_out("mcp_servers", "The server would run their tools itself."),
    _left_out("service_tier"),
    _left_out("speed"),
    _left_out("user_profile_id"),
    _left_out("workspace_id"),
)

LEFT_OUT = frozenset(row.name for row in FIELDS if row.is_left_out)
"""What only Anthropic's servers read, and what needs a header of a beta, which is the operator's to send."""

REFUSED = {row.name: row for row in FIELDS if row.code}

READ = frozenset(row.name for row in FIELDS) - LEFT_OUT
"""What is taken, or refused."""

KEPT_AND_READ = frozenset({"thinking", "output_config"})
"""What is read for every upstream, and kept beside that as it was sent for one of the same API."""

NUMBERS = {row.name: row for row in FIELDS if row.anthropic.effect is Effect.PASSED_ON and row.low is not None}
OBJECTS = frozenset(row.name for row in FIELDS if row.anthropic.effect is Effect.PASSED_ON) - NUMBERS.keys()
"""What is passed on to an upstream of the same API: numbers within their range, and objects."""
