"""The calls of the client's tools that wait in the bridge for their results.

A `PendingCall` is one of them, and `PendingCalls` are those of a run, in the order in which they came. A call is told to a client, and is then
answered with the result that the client sends; or it is kept for a later answer; or the bridge withdraws it. What leaves the list is answered, unless
the bridge does not wait for it.
"""

from collections.abc import Iterator, Mapping, Sequence

import anyio

from pipeline.events import NativeToolCall
from pipeline.upstream.bridge.turn import Result
from pipeline.wire.sdk_callbacks import tool_result


class PendingCall:
    """One callback.

    `id` is ours, since the model's own, `agents_id`, may be long, hold line ends, or be missing; `is_told` says that a client has it.
    """

    def __init__(self, call_id: str, name: str, arguments: str, agents_id: str | None = None) -> None:
        self.id = call_id
        self.agents_id = agents_id
        self.name = name
        self.arguments = arguments
        self.is_told = False
        self._body: bytes | None = None
        self._answered = anyio.Event()

    def answer(self, body: bytes) -> None:
        """Give the result; the first one counts."""
        if self._body is None:
            self._body = body
            self._answered.set()

    def refuse(self, why: str) -> None:
        """Give an error, which the model reads."""
        self.answer(tool_result([why], is_error=True))

    async def result(self) -> bytes:
        """The body of the answer, waited for."""
        await self._answered.wait()
        assert self._body is not None
        return self._body


class PendingCalls:
    """Those of one run."""

    def __init__(self) -> None:
        self._calls: list[PendingCall] = []

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[PendingCall]:
        return iter(self._calls)

    def add(self, call: PendingCall) -> None:
        """The bridge waits for one more."""
        self._calls.append(call)

    def withdraw(self, call: PendingCall) -> bool:
        """The bridge does not wait for it any more; False when it is none of those that wait."""
        if call not in self._calls:
            return False
        self._calls.remove(call)
        return True

    def tell(self, order: Mapping[str, int], *, parallel: bool) -> list[NativeToolCall]:
        """All of them for the client, or the first alone, in the order of their own ids where it is known; the others stay as they came, behind."""
        self._calls.sort(key=lambda call: order.get(call.agents_id or "", len(order)))
        leaving = self._calls if parallel else self._calls[:1]
        for call in leaving:
            call.is_told = True
        return [NativeToolCall(call.id, call.name, call.arguments) for call in leaving]

    @property
    def told(self) -> dict[str, str]:
        """The ids of those that a client has, and their tools."""
        return {call.id: call.name for call in self._calls if call.is_told}

    def answer(self, results: Sequence[Result]) -> None:
        """Give the results, which are those of all that were told; those that were kept stay."""
        given = {result.call_id: result for result in results}
        for call in self._calls:
            if call.is_told:
                result = given[call.id]
                call.answer(tool_result(result.texts, result.images, is_error=result.is_error))
        self._calls = [call for call in self._calls if not call.is_told]

    def refuse_all(self, why: str) -> None:
        """Give all of them an error."""
        for call in self._calls:
            call.refuse(why)
        self._calls = []
