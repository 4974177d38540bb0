"""`/v1/responses` and `/opencode/v1/responses`: the Responses API, and what can be asked of a response afterwards.

A response is kept where its request and the settings say so (`server.kept_responses`). It can be read, deleted and gone on with by who asked for it,
and by nobody else. What is still on its way can be cancelled, kept or not (`server.running_responses`). Under `/opencode` an answer is made in Agent
mode, in the conversation that the session names, as Chat Completions are there.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import trio
from quart import Blueprint, Response, request

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead, Dialect
from pipeline.emit.responses import ID_PREFIX, ResponsesStream, tell_whole
from pipeline.emit.whole import Whole
from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice, UsageReport
from pipeline.flow import Answer
from pipeline.parse.responses import ParsedResponses, parse_responses
from pipeline.request import Json, Request
from server.answering import Surface, name_in_header
from server.bodies import charge_decoded
from server.front_door import Caller
from server.gateway import LARGE_BODY_BYTES, Gateway, in_thread_if_large, record
from server.kept_responses import KeptResponses, not_found, wanted
from server.routes.opencode import with_conversation
from server.running_responses import RunningResponse, RunningResponses
from server.streaming import StreamedResponse
from server.targets import owner_of

PATH = "/v1/responses"
ANOTHER_PROCESS = "One that is still on its way can be cancelled only in the process that sends it, and this server has several (`server.workers`)."
MAX_LISTED = 100
LISTED = 20
"""How many items are listed where nobody says how many, as OpenAI's API does it."""


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("responses", __name__)
    kept, running = KeptResponses(gateway.settings.responses), RunningResponses()
    elsewhere = ANOTHER_PROCESS if gateway.settings.server.workers > 1 else ""

    @routes.post(PATH)
    async def create() -> Response | StreamedResponse:
        return await Creation(gateway, kept, running, gateway.admit()).answer(agent=False)

    @routes.post(f"/opencode{PATH}")
    async def create_for_opencode() -> Response | StreamedResponse:
        return await Creation(gateway, kept, running, gateway.admit()).answer(agent=True)

    @routes.get(f"{PATH}/<response_id>")
    async def read(response_id: str) -> Response:
        owner = owner_of(gateway.admit())
        if request.args.get("stream", "false") != "false":
            raise UnsupportedParameter("A response that is over cannot be streamed again.", param="stream")
        if running.is_running(owner, response_id):
            raise not_found(response_id, "It is not over yet, and can be read when it is, if it is kept.")
        return _reported(_json((await kept.find(owner, response_id)).body), read=("stream",))

    @routes.delete(f"{PATH}/<response_id>")
    async def delete(response_id: str) -> Response:
        await kept.delete(owner_of(gateway.admit()), response_id)
        return _json(msgspec.json.encode({"id": response_id, "object": "response", "deleted": True}))

    @routes.get(f"{PATH}/<response_id>/input_items")
    async def input_items(response_id: str) -> Response:
        stored = await kept.find(owner_of(gateway.admit()), response_id)
        charge_decoded(stored.input_items)
        page = await in_thread_if_large(partial(listed, query=request.args), stored.input_items)
        return _reported(_json(page), read=("order", "limit", "after"))

    @routes.post(f"{PATH}/<response_id>/cancel")
    async def cancel(response_id: str) -> Response:
        owner = owner_of(gateway.admit())
        cancelled = await running.cancel(owner, response_id)
        if cancelled is not None:
            return _json(msgspec.json.encode(cancelled))
        # of one that is over there is nothing to cancel, and the answer is what it is
        return _json((await kept.find(owner, response_id, besides=elsewhere)).body)

    return routes


class Creation:
    """One request for a response, and the answer to it."""

    def __init__(self, gateway: Gateway, kept: KeptResponses, running: RunningResponses, caller: Caller) -> None:
        self._gateway = gateway
        self._kept = kept
        self._running = running
        self._caller = caller
        self._owner = owner_of(caller)

    async def answer(self, *, agent: bool) -> Response | StreamedResponse:
        """The response, stored if it is to be; a streamed one is stored when it is over."""
        parsed, store = await self._parsed(agent=agent)
        is_kept = self._kept.keeps(store)
        asked = with_conversation(parsed.request, request.headers) if agent else parsed.request
        if store and not is_kept:
            asked = _noticed(asked, Notice("response_not_kept", "`responses.store` is `off`"))
        # an echo is the client's word; where it said nothing, what is done
        written = Written(parsed.echo if store is not None else msgspec.structs.replace(parsed.echo, store=is_kept))

        async def over(response: dict[str, Json]) -> Sequence[Notice]:
            return await self._kept.keep(self._owner, parsed, response, written.reasoning) if is_kept else ()

        def opened(answer: Answer) -> RunningResponse:
            return self._running.begin(self._owner, written.response_id, answer, over)

        answer = await self._gateway.answering.answer(asked, self._caller, record(), Surface(lambda _: written.dialect, opened=opened))
        if written.whole is not None and (notices := await over(written.whole)):
            record().notices += notices
            name_in_header(answer, "penstock-notices", [notice.code for notice in record().notices])
        return answer

    async def _parsed(self, *, agent: bool) -> tuple[ParsedResponses, bool | None]:
        """The body, with what it refers to, and what it says of `store`."""
        body = await self._gateway.body()
        needs = await in_thread_if_large(wanted, body)
        if not self._kept.is_on:
            return await self._gateway.parsed(partial(parse_responses, agent=agent), body), needs.store
        charge_decoded(body)
        recalled = await self._kept.recalled(self._owner, needs)
        parse = partial(parse_responses, agent=agent, recall=recalled.conversation, stored=recalled.item)
        is_large = len(body) + recalled.size_bytes >= LARGE_BODY_BYTES  # a short body may go on from a long conversation
        return await trio.to_thread.run_sync(parse, body) if is_large else parse(body), needs.store


class Written:
    """The dialect of one answer, which tells what was written: the `response_id`, and the Response object of a `whole` answer."""

    def __init__(self, echo: Echo) -> None:
        self.response_id = ""
        self.whole: dict[str, Json] | None = None
        self.dialect = Dialect(ID_PREFIX, self._begun, self._told)
        self._echo = echo
        self._stream: ResponsesStream | None = None

    @property
    def reasoning(self) -> str:
        """All that the model thought, whether the client is shown it or not."""
        return "" if self._stream is None else self._stream.reasoning

    def _begun(self, head: AnswerHead, usage: Callable[[], UsageReport]) -> ResponsesStream:
        self.response_id = head.id
        self._stream = ResponsesStream(head, usage, echo=self._echo)  # which shows reasoning as far as the answer's head says so
        return self._stream

    def _told(self, head: AnswerHead, whole: Whole, usage: UsageReport) -> bytes:
        stream = self._begun(head, lambda: usage)
        body = tell_whole(stream, whole)
        self.whole = stream.response
        return body


class _Listed(msgspec.Struct):
    id: str


def listed(items: bytes, query: Mapping[str, str]) -> bytes:
    """A page of items, which are JSON, as a list object; raises RequestError for a query that is none. Items are not decoded but for their ids.

    >>> listed(b'[{"id":"a"},{"id":"b"},{"id":"c"}]', {"limit": "2", "after": "c"})
    b'{"object":"list","data":[{"id":"b"},{"id":"a"}],"first_id":"b","last_id":"a","has_more":false}'
    """
    order, limit, after = query.get("order", "desc"), query.get("limit", str(LISTED)), query.get("after")
    if order not in ("asc", "desc"):
        raise RequestError("order must be asc or desc.", param="order")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_LISTED)) and 1 <= int(limit) <= MAX_LISTED):
        raise RequestError(f"limit must be an integer from 1 to {MAX_LISTED}.", param="limit")
    ordered = msgspec.json.decode(items, type=list[msgspec.Raw])
    if order == "desc":
        ordered.reverse()
    start = 0
    if after is not None:
        start = next((number for number, item in enumerate(ordered, 1) if _id_of(item) == after), -1)
        if start < 0:
            raise RequestError("after must be the id of one of the items.", param="after")
    data = ordered[start : start + int(limit)]
    ends = {"first_id": _id_of(data[0]), "last_id": _id_of(data[-1])} if data else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"object": "list", "data": data, **ends, "has_more": start + len(data) < len(ordered)})


def _id_of(item: msgspec.Raw) -> str:
    return msgspec.json.decode(item, type=_Listed).id


def _noticed(asked: Request, notice: Notice) -> Request:
    return msgspec.structs.replace(asked, notices=(*asked.notices, notice))


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def _reported(response: Response, *, read: Sequence[str]) -> Response:
    """The response with the names of what its query asked for in vain."""
    name_in_header(response, "penstock-ignored", [name for name in request.args if name not in read])
    return response
