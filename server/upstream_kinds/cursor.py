"""The tables of the upstreams that are Cursor's: Composer's own endpoint, the bridge of the vendor's SDK, and the stream of a website.

Each is asked with the callers' own keys, unless it has an own one, which is for one person on this machine alone.
"""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from pipeline.machine.answer import Markup
from server.setting_types import Count, Name, OverflowRule, Seconds, Tokens
from server.upstream_kinds.keyed import HttpUpstream, KeyedUpstream
from server.upstream_kinds.reading import Reading, ToolPolicy


class Composer(HttpUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="composer"):
    """Cursor's Composer. The callers' own keys are sent, unless an own key is set, which is for one person on this machine alone."""

    is_one_persons: ClassVar[bool] = True
    is_sent_images: ClassVar[bool] = True
    knows_its_models: ClassVar[bool] = True
    has_cursors_models: ClassVar[bool] = True
    needs_key: ClassVar[bool] = True

    base_url: Annotated[str, Meta(description="https URL of the backend; `CURSOR_BACKEND_BASE_URL`. Without it requests are answered with 424")] = ""
    endpoint: Annotated[
        str, Meta(description="path or https URL of the chat endpoint; `CURSOR_CHAT_ENDPOINT`. Without it requests are answered with 424")
    ] = ""
    api_base: Annotated[Name, Meta(description="https URL of the public API; `CURSOR_API_BASE`")] = "https://api.cursor.com"
    client_version: Annotated[str, Meta(description="sent as `x-cursor-client-version` if set; `CURSOR_CLIENT_VERSION`")] = ""
    context_window: Annotated[
        Tokens | None,
        Meta(
            description="tokens that its models can read, every one of them; when not set, a model's window is the published one, if there is one, "
            "and of the others conversations of any length are sent"
        ),
    ] = None
    context_overflow: Annotated[
        OverflowRule,
        Meta(
            description="a conversation that does not fit the model's window: with `error` it gets 400 `context_length_exceeded`, with `trim` "
            "its oldest turns are left out and a notice says so, with `signal` Cursor gets an empty answer whose usage is larger than the window, "
            "so that it shortens the conversation, and any other client the error"
        ),
    ] = "error"
    tools: Annotated[ToolPolicy, Meta(description="tool calls that are not as they should be")] = ToolPolicy()
    hidden_prefix_hold_chars: Annotated[
        int,
        Meta(
            ge=0,
            le=65_536,
            description="leading characters of the visible text that are held, and dropped with a notice when a `final` token follows "
            "(some models think aloud there); 0: none",
        ),
    ] = 0

    def reading(self) -> Reading:
        """How the answers are to be read."""
        tools = self.tools
        return Reading(tools.policy(), Markup(dialects=tools.dialects, hidden_prefix_hold_chars=self.hidden_prefix_hold_chars), tools.strict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Both are needed, and neither has a default."""
        return tuple(name for name in ("base_url", "endpoint") if not getattr(self, name))


class RequiredCalls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about tool calls that come as such, and not as text."""

    strict: Annotated[
        bool,
        Meta(description="an answer without the call that `tool_choice` required is a fault; one that is not streamed is asked for twice"),
    ] = False


class SdkBridge(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sdk-bridge"):
    """The bridge of Cursor's own SDK, which is started and stopped with the server. It is not part of Penstock: `pip install 'penstock[cursor-sdk]'`.

    The callers' own keys are sent, unless an own key is set, which is for one person on this machine alone.
    """

    is_one_persons: ClassVar[bool] = True
    is_sent_images: ClassVar[bool] = True
    has_cursors_models: ClassVar[bool] = True
    lists_its_models: ClassVar[bool] = True
    needs_key: ClassVar[bool] = True

    command: Annotated[
        tuple[Name, ...],
        Meta(
            description="the program and its first arguments; empty: the `cursor-sdk-bridge` of the package `cursor-sdk`, beside this Python or in "
            "`PATH`"
        ),
    ] = ()
    start_seconds: Annotated[Seconds, Meta(description="how long a request waits for the bridge to be ready, which takes less than a second")] = 20.0
    park_seconds: Annotated[
        Seconds,
        Meta(
            description="how long the agent's run waits for the results of the tools that it called; after that it is cancelled, and results that "
            "come later start a new one, which is told the conversation so far"
        ),
    ] = 300.0
    gather_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="a call of a tool is passed on when nothing more has come for so long, so that calls made side by side come together",
        ),
    ] = 0.2
    max_parked: Annotated[
        Count, Meta(description="most runs that wait for results at a time; of more, the one that has waited longest is cancelled")
    ] = 100
    environment: Annotated[
        tuple[Name, ...],
        Meta(
            description="names of further environment variables that the bridge is given; it gets those of proxies, certificates and language, and "
            "none of the others"
        ),
    ] = ()
    context_window: Annotated[
        Tokens | None, Meta(description="tokens that its models can read, every one of them; when not set, it is the judge")
    ] = None
    context_overflow: Annotated[
        OverflowRule | None,
        Meta(
            description="a conversation that does not fit `context_window`, or the route's: `error`, `trim` and `signal` as for Composer; when not "
            "set, it is sent, and the bridge says what becomes of it"
        ),
    ] = None
    tools: Annotated[RequiredCalls, Meta(description="tool calls")] = RequiredCalls()

    def reading(self) -> Reading:
        """How the answers are to be read."""
        return Reading(strict_tool_choice=self.tools.strict)


class Website(HttpUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="website"):
    """A server that streams answers as the chat pages of websites get them ("UI message stream"), at an address of yours.

    Nothing here imitates a browser or answers a bot check. The callers' own keys are sent, unless something else is set.
    """

    is_one_persons: ClassVar[bool] = True
    has_cursors_models: ClassVar[bool] = True

    url: Annotated[str, Meta(description="https URL that requests are posted to, as it is. Without it requests are answered with 424")] = ""
    context_window: Annotated[
        Tokens | None,
        Meta(description="tokens that its models can read, every one of them; when not set, conversations of any length are sent"),
    ] = None
    context_overflow: Annotated[
        OverflowRule,
        Meta(
            description="a conversation that does not fit the model's window: with `error` it gets 400 `context_length_exceeded`, with `trim` "
            "its oldest turns are left out and a notice says so, with `signal` Cursor gets an empty answer whose usage is larger than the window, "
            "so that it shortens the conversation, and any other client the error"
        ),
    ] = "error"
    tools: Annotated[ToolPolicy, Meta(description="tool calls that are not as they should be")] = ToolPolicy()

    def reading(self) -> Reading:
        """How the answers are to be read."""
        return Reading(self.tools.policy(), Markup(dialects=self.tools.dialects), self.tools.strict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Where it is has no default."""
        return () if self.url else ("url",)
