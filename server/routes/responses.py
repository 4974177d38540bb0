"""`/v1/responses` and `/opencode/v1/responses`: the Responses API, and what can be asked of a response afterwards.

A response is kept where its request and the settings say so (`server.kept_responses`). It can be read, deleted and gone on with by who asked for it,
and by nobody else. What is still on its way can be cancelled, kept or not (`server.running_responses`). Under `/opencode` an answer is made in Agent
mode, in the conversation that the session names, as Chat Completions are there.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from quart import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead, Dialect, Emitter
from pipeline.emit.responses import responses_dialect
from pipeline.emit.whole import Whole
from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice, UsageReport
from pipeline.flow import Answer
from pipeline.parse.responses import ParsedResponses, parse_responses
from pipeline.request import Json, Request
from server.answering import Surface, name_in_header
from server.front_door import Caller
from server.gateway import Gateway, in_thread_if_large, record
from server.kept_responses import KeptResponses, not_found, wanted
from server.routes.opencode import with_conversation
from server.running_responses import RunningResponse, RunningResponses
from server.streaming import StreamedResponse
from server.targets import owner_of

PATH = "/v1/responses"
MAX_LISTED = 100
LISTED = 20
"""How many items are listed where nobody says how many, as OpenAI's API does it."""


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("responses", __name__)
    kept, running = KeptResponses(gateway.settings.responses), RunningResponses()

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
        page = listed(msgspec.json.decode(stored.input_items), request.args)
        return _reported(_json(msgspec.json.encode(page)), read=("order", "limit", "after"))

    @routes.post(f"{PATH}/<response_id>/cancel")
    async def cancel(response_id: str) -> Response:
        owner = owner_of(gateway.admit())
        cancelled = await running.cancel(owner, response_id)
        # of one that is over there is nothing to cancel, and the answer is what it is
        return _json((await kept.find(owner, response_id)).body if cancelled is None else msgspec.json.encode(cancelled))

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
            return await self._kept.keep(self._owner, parsed, response) if is_kept else ()

        def opened(answer: Answer) -> RunningResponse:
            return self._running.begin(self._owner, written.response_id, answer, over)

        answer = await self._gateway.answering.answer(asked, self._caller, record(), Surface(lambda _: written.dialect, opened=opened))
        if written.body is not None and (notices := await over(msgspec.json.decode(written.body))):
            record().notices += notices
            name_in_header(answer, "penstock-notices", [notice.code for notice in record().notices])
        return answer

    async def _parsed(self, *, agent: bool) -> tuple[ParsedResponses, bool | None]:
        """The body, with what it refers to, and what it says of `store`."""
        body = await self._gateway.body()
        needs = await in_thread_if_large(wanted, body)
        parse: Callable[[bytes], ParsedResponses] = partial(parse_responses, agent=agent)
        if self._kept.is_on:
            recalled = await self._kept.recalled(self._owner, needs)
            parse = partial(parse_responses, agent=agent, recall=recalled.conversation, stored=recalled.item)
        return await self._gateway.parsed(parse, body), needs.store


class Written:
    """The dialect of one answer, which tells what was written: the `response_id`, and the `body` of a whole answer."""

    def __init__(self, echo: Echo) -> None:
        self.response_id = ""
        self.body: bytes | None = None
        self._plain = responses_dialect(echo, shows_reasoning=True)  # as far as the answer's head says so
        self.dialect = Dialect(self._plain.id_prefix, self._stream, self._whole)

    def _stream(self, head: AnswerHead, usage: Callable[[], UsageReport]) -> Emitter:
        self.response_id = head.id
        return self._plain.stream(head, usage)

    def _whole(self, head: AnswerHead, whole: Whole, usage: UsageReport) -> bytes:
        self.body = self._plain.whole(head, whole, usage)
        return self.body


def listed(items: list[dict[str, Json]], query: MultiDict[str, str]) -> dict[str, Json]:
    """A page of items as a list object; raises RequestError for a query that is none.

    >>> page = listed([{"id": "a"}, {"id": "b"}, {"id": "c"}], MultiDict({"limit": "2", "after": "c"}))
    >>> page["data"], page["has_more"]
    ([{'id': 'b'}, {'id': 'a'}], False)
    """
    order, limit, after = query.get("order", "desc"), query.get("limit", str(LISTED)), query.get("after")
    if order not in ("asc", "desc"):
        raise RequestError("order must be asc or desc.", param="order")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_LISTED)) and 1 <= int(limit) <= MAX_LISTED):
        raise RequestError(f"limit must be an integer from 1 to {MAX_LISTED}.", param="limit")
    ordered = items if order == "asc" else items[::-1]
    start = 0
    if after is not None:
        start = next((number for number, item in enumerate(ordered, 1) if item["id"] == after), -1)
        if start < 0:
            raise RequestError("after must be the id of one of the items.", param="after")
    data = ordered[start : start + int(limit)]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": start + len(data) < len(ordered)}


def _noticed(asked: Request, notice: Notice) -> Request:
    return msgspec.structs.replace(asked, notices=(*asked.notices, notice))


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def _reported(response: Response, *, read: Sequence[str]) -> Response:
    """The response with the names of what its query asked for in vain."""
    name_in_header(response, "penstock-ignored", [name for name in request.args if name not in read])
    return response
