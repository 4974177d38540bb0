"""The settings as frozen values: every key that the program honours, its type, its bounds, its default and one line that says what it does.

These classes are the only list of keys. The reader (`server.config`) checks a file and the environment against them, and the reference in
`docs/settings.md` is printed from them, so a key added here exists everywhere at once. Each top-level field of `Settings` is one table of the file.
A top-level field that is a struct is a *fixed section*, whose keys have environment variables too; the others are tables that the user names.

The tables of the upstreams are in `server.upstream_settings`. What depends on two values at once is in `server.config_rules`. `Settings()` is the
gateway that runs with no file and no variables.

No key is a value of the file: the file says in which variable or file a key is. A field that holds a `Secret` is therefore no setting; loading fills
it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from server.setting_types import Count, Dollars, Name, OptionalSeconds, OverflowRule, Private, Seconds, Size, Tokens
from server.upstream_settings import Captured, Upstream


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listening side. Sizes are bytes, durations seconds; paths are relative to the working directory."""

    host: Annotated[Name, Meta(description="IP address or host name to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0 takes any free one; `PORT` is honoured too")] = 8787
    workers: Annotated[int, Meta(ge=1, le=256, description="processes that share the port")] = 1
    max_body_bytes: Annotated[Size, Meta(description="largest request body; above it 413")] = 33_554_432
    max_concurrency: Annotated[Count, Meta(description="requests in work at a time, in each worker; above it 503 with Retry-After")] = 1000
    drain_seconds: Annotated[OptionalSeconds, Meta(description="how long running streams may go on after a stop signal")] = 20.0
    prestop_seconds: Annotated[OptionalSeconds, Meta(description="`/ready` answers 503 for so long before the listener closes")] = 0.0
    public_url: Annotated[str, Meta(description="what clients see as the base URL, without `/v1`; set it behind a tunnel or proxy")] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="host names that a request's `Host` may have, without a port; empty: loopback names, `host` and `public_url`'s host; any "
            "address 127.* may be named besides. In mode `open` loopback names are all that there is"
        ),
    ] = ()
    tls_cert: Annotated[str, Meta(description="PEM file with the certificate chain; empty: plain HTTP")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key, not encrypted")] = ""
    body_seconds: Annotated[Seconds, Meta(description="how long a request's body may take to arrive; after it 408")] = 30.0
    max_header_bytes: Annotated[Size, Meta(description="largest request head; above it 431")] = 16_384
    access_log: Annotated[bool, Meta(description="write one line for each request")] = True


class GatewayKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of mode `keys`, of which only the hash is kept."""

    name: Annotated[Name, Meta(description="who holds the key: a name of its own, which the access log shows")]
    hash: Annotated[Private, Meta(description="`sha256:` and the SHA-256 of the key, as `penstock keys new NAME` prints it")]
    models: Annotated[
        Annotated[tuple[Name, ...], Meta(min_length=1)] | None,
        Meta(description="the only model ids that the key may use; when not set, every model"),
    ] = None


class Auth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The front door."""

    mode: Annotated[
        Literal["open", "forward", "keys"],
        Meta(
            description="`open`: no key is asked for, under loopback names only, and a web page's requests are refused: 403 `origin_not_allowed` for "
            "an `Origin` of `http` or `https` that is not of this machine, for `null`, and for `Sec-Fetch-Site: cross-site` without an "
            "`Origin`; `forward`: the caller's key is its own upstream key, used for this request and never stored; `keys`: the caller's key "
            "is one of `keys`, and no upstream gets it. The default is `keys` where there are `keys`, else `open` where every upstream is "
            "the embedded demo or `OPENAI_BASE_URL` alone makes them, else `forward`"
        ),
    ] = "forward"
    keys: Annotated[tuple[GatewayKey, ...], Meta(description="who may come in, in mode `keys`")] = ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clocks of one request, each started anew for each attempt at an upstream except the total."""

    connect_seconds: Annotated[Seconds, Meta(description="to reach the upstream")] = 5.0
    first_event_seconds: Annotated[Seconds, Meta(description="from the request to the upstream's first event")] = 60.0
    idle_seconds: Annotated[Seconds, Meta(description="between two reads that brought something from the upstream")] = 120.0
    total_seconds: Annotated[Seconds, Meta(description="for the whole answer")] = 900.0
    write_stall_seconds: Annotated[Seconds, Meta(description="that a client may leave what we send unread")] = 60.0


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to the model's reasoning."""

    output: Annotated[
        Literal["never", "on-request", "always"], Meta(description="whether the model's reasoning is sent to the client; `on-request`: if it asked")
    ] = "on-request"
    memory: Annotated[
        Literal["off", "on"],
        Meta(
            description="`on`: the reasoning of answers with tool calls is remembered, in this process, and put back where a client sends the turn "
            "without it: some models refuse the turn then, and Cursor never sends it. For upstreams whose profile has a `reasoning_field`"
        ),
    ] = "off"
    memory_entries: Annotated[
        Count, Meta(description="most answers whose reasoning is remembered; the one that was not used for longest goes first")
    ] = 10_000
    memory_bytes: Annotated[Size, Meta(description="most memory that they take together")] = 67_108_864
    memory_seconds: Annotated[Seconds, Meta(description="how long an answer's reasoning is remembered that is not asked for")] = 7200.0
    memory_miss: Annotated[
        Literal["drop", "disable"],
        Meta(description="a turn whose reasoning is not remembered: `drop`: it is sent without; `disable`: the model is told not to think this time"),
    ] = "drop"


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tokens are counted when the upstream does not say."""

    method: Annotated[
        Literal["calibrated", "chars4"],
        Meta(
            description="how tokens are estimated; `calibrated`: by what the text is made of (docs/usage.md); `chars4`: four characters are one token"
        ),
    ] = "calibrated"


class Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images in requests, for upstreams that are sent their bytes."""

    fetch: Annotated[
        bool,
        Meta(description="whether images are fetched from the web: from public addresses only, no redirects; false: a request with one gets a 400"),
    ] = True
    max_bytes: Annotated[int, Meta(ge=1024, le=33_554_432, description="largest image")] = 1_048_576


class Failover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens when a route's target fails before anything was answered: the next one is asked."""

    wait_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="when every target has failed: the longest Retry-After that is waited for, to ask that target once more; 0: none is",
        ),
    ] = 5.0


class Responses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of the Responses API that can be asked for again."""

    store: Annotated[
        Literal["explicit", "default", "off"],
        Meta(
            description="which responses are kept, in this process, to be read again and gone on with by `previous_response_id`; `explicit`: "
            "those whose request says `store: true`; `default`: all but those whose request says `store: false`; `off`: none. With several "
            "`server.workers` the default is `off`, and nothing else is possible"
        ),
    ] = "explicit"
    entries: Annotated[
        Count,
        Meta(description="most responses that are kept; of the key that holds the most, the one that was not asked for the longest goes first"),
    ] = 10_000
    bytes: Annotated[Size, Meta(description="most memory that they take together, each with its conversation")] = 67_108_864
    seconds: Annotated[Seconds, Meta(description="how long a response is kept that is not asked for")] = 86_400.0


class Cursor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to the Cursor IDE, under `/cursor`."""

    keepalive_seconds: Annotated[float, Meta(ge=1, le=60, description="a comment is sent after so much silence, in an answer that has begun")] = 5.0
    early_headers_seconds: Annotated[
        OptionalSeconds,
        Meta(
            description="an answer begins after so long, although no upstream has said anything yet; what fails later fails inside of it. 0: never "
            "before the upstream"
        ),
    ] = 0.0


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a route leads."""

    upstream: Annotated[Name, Meta(description="the name of one of the upstreams")]
    model: Annotated[Name, Meta(description="the model id that the upstream is asked for; `*`: the id that the client wrote")]
    price: Annotated[
        tuple[Dollars, Dollars] | None,
        Meta(description="US dollars per million tokens, of input and of output; when not set, the model's known price"),
    ] = None


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model id is served."""

    targets: Annotated[
        tuple[Target, ...],
        Meta(min_length=1, description="where the model's requests go: to the first, and to the next one where a target fails before it answers"),
    ]
    min_output_tokens: Annotated[Tokens | None, Meta(description="a client's smaller limit of the answer's length is raised to this")] = None
    display_reasoning: Annotated[
        Literal["off", "think", "details", "field"],
        Meta(
            description="how the model's reasoning is shown to Cursor: not at all, as text between `<think>` tags or in a folded `<details>`, or in "
            "a field of its own"
        ),
    ] = "think"
    strip_think: Annotated[
        bool,
        Meta(
            description="whether `<think>` and `<details>` blocks are taken out of the assistant's turns in the history; for Cursor they are anyway "
            "where `display_reasoning` puts them in"
        ),
    ] = False
    no_prefill: Annotated[
        bool,
        Meta(description="whether a user's turn is put behind an assistant's that ends the conversation, for models that refuse to go on with it"),
    ] = False
    context_window: Annotated[Tokens | None, Meta(description="tokens that the model can read; it counts before what its upstreams say")] = None
    context_overflow: Annotated[
        OverflowRule | None, Meta(description="a conversation that does not fit: as with the upstreams, and it counts before what they say")
    ] = None


def embedded_upstreams() -> dict[str, Upstream]:
    """The upstreams of a gateway whose file names none."""
    return {"captured": Captured()}


def route_to(upstream: str) -> Route:
    """A route that sends a model id, unchanged, to one upstream."""
    return Route(targets=(Target(upstream=upstream, model="*"),))


def route_everything_to(upstream: str) -> dict[str, Route]:
    """Routes that send every model id, unchanged, to one upstream."""
    return {"*": route_to(upstream)}


def embedded_routes() -> dict[str, Route]:
    """The routes of a gateway whose file names no upstream."""
    return route_everything_to("captured")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set.

    >>> Settings().server.port, Settings().auth.mode, list(Settings().upstreams)
    (8787, 'open', ['captured'])
    """

    server: Annotated[Server, Meta(description="The listening side.")] = Server()
    auth: Annotated[Auth, Meta(description="The front door.")] = Auth(mode="open")
    timeouts: Annotated[Timeouts, Meta(description="The clocks of one request.")] = Timeouts()
    reasoning: Annotated[Reasoning, Meta(description="What happens to the model's reasoning.")] = Reasoning()
    usage: Annotated[Usage, Meta(description="How tokens are counted when the upstream does not say.")] = Usage()
    images: Annotated[Images, Meta(description="Images in requests, for upstreams that are sent their bytes.")] = Images()
    failover: Annotated[Failover, Meta(description="What happens when a route's target fails before it answers.")] = Failover()
    responses: Annotated[Responses, Meta(description="Answers of the Responses API that can be asked for again.")] = Responses()
    cursor: Annotated[Cursor, Meta(description="Answers to the Cursor IDE, under `/cursor`.")] = Cursor()
    upstreams: Annotated[
        Mapping[str, Upstream],
        Meta(description="Where answers come from, under names of your choice. Without this table there is one upstream, `captured`."),
    ] = msgspec.field(default_factory=embedded_upstreams)
    routes: Annotated[
        Mapping[str, Route],
        Meta(
            description="Which upstreams serve which model id, the first that can; `*` stands for every id that has no route of its own. Without "
            "this table a single upstream serves every id."
        ),
    ] = msgspec.field(default_factory=embedded_routes)
    aliases: Annotated[Mapping[str, str], Meta(description='Other names for model ids: `alias = "model id"`.')] = {}
