"""From a parsed request to a response: find the upstream, run the flow, and say in headers and in the log what was done."""

import re
from collections.abc import Iterable

import msgspec
from quart import Response

from pipeline.errors import Draining, PenstockError
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.machine.answer import Markup
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import Request
from pipeline.upstream.images import fetched_bytes, most_fetched_bytes
from server.access_log import Record
from server.bodies import charge_files, settle_files
from server.front_door import Caller
from server.lifecycle import Lifecycle
from server.routing import Destination, Routing
from server.settings import Settings
from server.streaming import StreamedResponse
from server.upstream_settings import Composer, OpenAIChat
from server.upstreams import timeouts_of

MAX_HEADER_CHARS = 1024
CUT = ", ..."
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Answering:
    """Answers requests under one server's settings."""

    def __init__(self, settings: Settings, routing: Routing, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._routing = routing
        self._lifecycle = lifecycle
        self._timeouts = timeouts_of(settings)

    async def answer(self, request: Request, caller: Caller, record: Record) -> Response | StreamedResponse:
        """The response in the request's dialect; raises PenstockError for what fails before the first byte."""
        record.model = request.model
        record.notices = list(request.notices)
        if self._lifecycle.draining.is_set():
            raise Draining("The server is shutting down; send the request again.", retry_after_seconds=1)
        destination = self._routing.find(request.model)
        record.upstream = destination.upstream.name
        caller.check_model(request.model, destination.names)
        if not request.model:
            request = msgspec.structs.replace(request, model=destination.model.id)
        policy, markup, strict = self._reading(destination.upstream.name)
        terms = Terms(
            policy=policy,
            markup=markup,
            strict_tool_choice=strict,
            timeouts=self._timeouts,
            stop=self._lifecycle.stop,
            show_thinking=self._shows_thinking(request),
            price=destination.model.price,
            usage_method=self._settings.usage.method,
        )
        exchange = await self._exchange(request, destination, terms, caller)
        try:
            if request.stream:
                answer = await open_stream(exchange)
                record.stream = answer.emitter
                response: Response | StreamedResponse = StreamedResponse(answer)
                notices = answer.notices
            else:
                body, whole = await collect(exchange)
                record.notices = notices = whole.notices
                response = Response(body, content_type="application/json")
        except PenstockError:
            record.notices = exchange.noticed or record.notices
            raise
        name_in_header(response, "penstock-notices", [notice.code for notice in notices])
        name_in_header(response, "penstock-ignored", exchange.ignored)
        return response

    async def _exchange(self, request: Request, destination: Destination, terms: Terms, caller: Caller) -> Exchange:
        """The request in the upstream's form. Images to be fetched are charged as large as they may be, and then as large as they are."""
        images = self._settings.images
        is_fetched = images.fetch and isinstance(self._settings.upstreams[destination.upstream.name], Composer)
        most = most_fetched_bytes(request, images.max_bytes) if is_fetched else 0
        charged = charge_files(most)
        exchange = await Exchange.prepared(request, destination.upstream, terms, model=destination.model_id, key=caller.upstream_key)
        settle_files(charged, fetched_bytes(exchange.request))
        return exchange

    def _reading(self, upstream: str) -> tuple[ToolPolicy, Markup, bool]:
        table = self._settings.upstreams[upstream]
        # tool calls that are no text of the model's have nothing that a policy could be about
        return (ToolPolicy(), Markup(), False) if isinstance(table, OpenAIChat) else (table.tools.policy(), table.markup(), table.tools.strict)

    def _shows_thinking(self, request: Request) -> bool:
        output = self._settings.reasoning.output
        return output == "always" or (output == "on-request" and request.options.reasoning)


def name_in_header(response: Response, header: str, words: Iterable[str]) -> None:
    """Set a header to the words, each once, as many as fit, and `...` behind them if there are more.

    A client may have written them, and one that is none is shown as `?`.
    """
    value = ", ".join(dict.fromkeys(word if _WORD.fullmatch(word) else "?" for word in words))
    if len(value) > MAX_HEADER_CHARS:
        room = MAX_HEADER_CHARS - len(CUT)
        value = value[: value.rindex(",", 0, room + 1)] + CUT  # a word is short, so that there is a comma
    if value:
        response.headers[header] = value
