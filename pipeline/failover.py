"""One request over several targets: the first that answers gives the answer. `pipeline.flow` knows one upstream, this module tries several.

Theory of operation: candidates come in, in the order in which they are to be tried (`pipeline.upstream.health`); out comes what `open_stream` or
`collect` gives for the first of them that does not fail. A fault goes on to the next candidate while two things hold: nothing was forwarded, which is
so for every fault that these two raise, and the fault may pass elsewhere (`PenstockError.may_pass_elsewhere`). A candidate that cannot take the
request in its form, or whose window is known to be too small (`NOT_HERE`), is passed over before anything was sent to it. Every other error is the
client's to see, at once; also an upstream's own word that a conversation is too long.

A target that failed cools for its cooldown, or for as long as it said itself, an hour at most; one whose answer breaks after its beginning cools
too, so that a client that asks again is better served. When all have failed and one of them asked for a wait that is short enough, the one with the
shortest is asked once more behind it. At last the client is told one of the faults, that which tells it most, as its target's own error has it.

Invariants: each target is asked once, and one of them twice. One clock runs for all attempts. A cancelled request asks nobody any more, also in the
wait. `Trail` is complete at every moment. Left alone: the order, the log, and what an attempt is made of.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import anyio
import msgspec

from pipeline.clocks import Stop
from pipeline.emit.whole import Whole
from pipeline.errors import (
    ContextLengthExceeded,
    Draining,
    PenstockError,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    UnsupportedParameter,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnusable,
)
from pipeline.flow import Answer, Exchange, collect, open_stream
from pipeline.upstream.health import Health

Given = TypeVar("Given")

HELD_SHARE = 0.25
"""Of an answer's time: kept waiting for longer, mostly by a client that reads slowly, an upstream's speed cannot be seen any more."""

LONGEST_COOLING_SECONDS = 3600.0
"""What a Retry-After may make of a cooldown; some vendors name the first of the next month."""

USEFUL_WAIT_SECONDS = 60.0
"""The longest Retry-After that clients wait for: the OpenAI and Anthropic SDKs take no longer one for an answer."""

NOT_HERE = (UnsupportedParameter, UpstreamUnusable, ContextLengthExceeded)
"""What writing a request may raise although another target takes it: nothing was sent, and nothing is wrong with the target."""

OK = "ok"
CANCELLED = "cancelled"
CRASHED = "internal_error"


class Candidate(msgspec.Struct, frozen=True):
    """A target, and how it is tried.

    `prepare` writes the request for it and is called once for each attempt; the total clock of its exchange is that of all attempts. `price` is in
    whatever measure the candidates share. With `by_callers_key` the target is asked with a key of the caller's own: a limit of that key says nothing
    of the target, and does not cool it for others.
    """

    target: str
    prepare: Callable[[], Awaitable[Exchange]]
    cooldown_seconds: float = 20
    price: float | None = None
    by_callers_key: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """What became of one try: `ok`, the error's code, or `cancelled`; and how many seconds it took until that was known."""

    target: str
    outcome: str
    seconds: float


class Trail:
    """The attempts of one request in their order, filled as they end, so that it is of use also when the client leaves or an error is raised."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []


async def open_first(
    candidates: Sequence[Candidate], health: Health, trail: Trail, *, conversation: str | None, wait_seconds: float, total_at: float
) -> tuple[Exchange, Answer]:
    """The first answer that begins, and the exchange that it belongs to; the caller sets no `on_close`.

    Args:
        candidates: in the order in which they are tried; at least one.
        health: learns what became of them.
        trail: gets the attempts.
        conversation: what sticks to the target that answers; None for a request that belongs to none.
        wait_seconds: the longest Retry-After that is waited for; 0 for none.
        total_at: when the time of all attempts is over, in `anyio.current_time()`.

    Raises:
        PenstockError: nobody answered.
    """
    course = _Course(health, trail, conversation, wait_seconds, total_at)
    exchange, answer = await course.run(candidates, open_stream)
    answer.on_close = partial(_closed, course, exchange, answer)
    return exchange, answer


async def collect_first(
    candidates: Sequence[Candidate], health: Health, trail: Trail, *, conversation: str | None, wait_seconds: float, total_at: float
) -> tuple[Exchange, bytes, Whole]:
    """The first whole answer: its exchange, body and fold. As `open_first`, but an answer that breaks halfway goes on to the next target too."""
    course = _Course(health, trail, conversation, wait_seconds, total_at)
    exchange, (body, whole) = await course.run(candidates, collect)
    course.measure(exchange)
    return exchange, body, whole


class _Failure(msgspec.Struct, frozen=True):
    """A candidate that failed.

    `ready_at` is when it said that it may be asked again, None where it said nothing; `stop` is its exchange's, None where there was none.
    """

    candidate: Candidate
    error: PenstockError
    ready_at: float | None
    stop: Stop | None


class _Course:
    """The way of one request over its candidates."""

    def __init__(self, health: Health, trail: Trail, conversation: str | None, wait_seconds: float, total_at: float) -> None:
        self._health = health
        self._trail = trail
        self._conversation = conversation
        self._wait_seconds = wait_seconds
        self._total_at = total_at
        self._failures: list[_Failure] = []
        self._candidate: Candidate | None = None
        self._began_at = 0.0

    async def run(self, candidates: Sequence[Candidate], ask: Callable[[Exchange], Awaitable[Given]]) -> tuple[Exchange, Given]:
        """What `ask` gives for the first candidate that does not fail."""
        try:
            for candidate in candidates:
                if (given := await self._attempt(candidate, ask)) is not None:
                    return given
            if (again := self._shortest_wait()) is not None:
                await self._wait(again)
                self._failures.remove(again)
                if (given := await self._attempt(again.candidate, ask)) is not None:
                    return given
            raise _most_telling(self._failures)
        finally:
            self._failures.clear()  # an error holds its frames, and with them the request

    async def _attempt(self, candidate: Candidate, ask: Callable[[Exchange], Awaitable[Given]]) -> tuple[Exchange, Given] | None:
        """One try; None when the next one is to be asked. Raises what no other target can mend."""
        self._candidate, self._began_at = candidate, anyio.current_time()
        exchange: Exchange | None = None
        try:
            with self._told():
                exchange = await self._prepared(candidate)
                given = await ask(exchange)
        except PenstockError as error:
            if not self._goes_on(error, exchange):
                raise
            self._failed(candidate, error, exchange)
            return None
        self._health.recover(candidate.target)
        if self._conversation is not None:
            self._health.stick(self._conversation, candidate.target)
        return exchange, given

    @contextmanager
    def _told(self) -> Generator[None]:
        """The trail of one attempt."""
        outcome = CANCELLED
        try:
            yield
            outcome = OK
        except PenstockError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = CRASHED
            raise
        finally:
            assert self._candidate is not None
            self._trail.attempts.append(Attempt(self._candidate.target, outcome, anyio.current_time() - self._began_at))

    async def _prepared(self, candidate: Candidate) -> Exchange:
        """The exchange, under the total clock: something may have to be fetched for it."""
        with anyio.CancelScope(deadline=self._total_at):
            return await candidate.prepare()
        raise UpstreamTimeout("The time for an answer was over before the request could be sent.", code="upstream_total_timeout")

    def _goes_on(self, error: PenstockError, exchange: Exchange | None) -> bool:
        if anyio.current_time() >= self._total_at:
            return False
        return isinstance(error, NOT_HERE) if exchange is None else error.may_pass_elsewhere

    def _failed(self, candidate: Candidate, error: PenstockError, exchange: Exchange | None) -> None:
        if exchange is None:
            self._failures.append(_Failure(candidate, error, None, None))
            return
        after = error.retry_after_seconds
        self.cool(candidate, error)
        # more requests do not fill up a quota, and one that was passed over was not asked
        ready_at = None if after is None or isinstance(error, QuotaExceeded) else anyio.current_time() + after
        self._failures.append(_Failure(candidate, error, ready_at, exchange.terms.stop))

    def cool(self, candidate: Candidate, error: PenstockError) -> None:
        """The target failed for everybody, unless what it refused is the caller's own key."""
        if not (candidate.by_callers_key and isinstance(error, RateLimited | PermissionDenied)):
            stated = min(error.retry_after_seconds or 0.0, LONGEST_COOLING_SECONDS)
            self._health.cool(candidate.target, max(candidate.cooldown_seconds, stated))

    def _shortest_wait(self) -> _Failure | None:
        """The failure whose target is worth waiting for."""
        waiting = [failure for failure in self._failures if _wait_of(failure) <= self._wait_seconds]
        if not waiting or self._wait_seconds <= 0:
            return None
        first = min(waiting, key=lambda failure: failure.ready_at or 0.0)
        return first if (first.ready_at or 0.0) < self._total_at else None

    async def _wait(self, failure: _Failure) -> None:
        """Until the target may be asked again; raises Draining when the server ends all answers before that."""
        stop = failure.stop or Stop()
        scope = anyio.CancelScope(deadline=stop.at)
        stop.watch(scope)
        try:
            with scope:
                await anyio.sleep_until(failure.ready_at or 0.0)
                return
        finally:
            stop.forget(scope)
        raise Draining("The server is shutting down; send the request again.", retry_after_seconds=1)

    def measure(self, exchange: Exchange) -> None:
        """An answer has come to its proper end: how fast was it? What waited in a buffer for its client has no speed of its own."""
        assert self._candidate is not None
        if exchange.ended_at is None:
            return
        seconds = exchange.ended_at - self._began_at
        if exchange.held_seconds <= HELD_SHARE * seconds:
            self._health.measure(self._candidate.target, exchange.meter.completion_tokens, seconds)

    def broke(self, error: PenstockError) -> None:
        """An answer failed after its beginning, when it could go nowhere else any more."""
        if self._candidate is not None and error.may_pass_elsewhere and anyio.current_time() < self._total_at:
            self.cool(self._candidate, error)


def _closed(course: _Course, exchange: Exchange, answer: Answer) -> None:
    """An answer that was forwarded is over; one that its client left says nothing of its target."""
    if answer.emitter.error is not None:
        course.broke(answer.emitter.error)
    elif answer.emitter.reason is not None:
        course.measure(exchange)


def _wait_of(failure: _Failure) -> float:
    """The seconds that a target asked for; infinity where waiting is of no use."""
    after = failure.error.retry_after_seconds
    return float("inf") if failure.ready_at is None or after is None else after


# what a client is told of several faults: the first of these that there is, since it says most of what the client can do
_TELLING: tuple[Callable[[_Failure], bool], ...] = (
    lambda failure: _wait_of(failure) <= USEFUL_WAIT_SECONDS,  # when to come back
    lambda failure: isinstance(failure.error, RateLimited) and failure.ready_at is None and not isinstance(failure.error, QuotaExceeded),
    lambda failure: isinstance(failure.error, UpstreamError) and failure.ready_at is None and not isinstance(failure.error, NOT_HERE),
    lambda failure: isinstance(failure.error, ContextLengthExceeded),  # a shorter conversation passes
    lambda failure: failure.ready_at is not None,  # to come back much later, where no other may be well sooner
    lambda failure: isinstance(failure.error, QuotaExceeded),
    lambda failure: isinstance(failure.error, UnsupportedParameter),  # the client can mend it itself
)


def _most_telling(failures: Sequence[_Failure]) -> PenstockError:
    """The fault that helps the client most: of several that ask for a wait the shortest, of other equals the last."""
    latest = list(reversed(failures))
    latest.sort(key=_wait_of)
    found = (failure.error for tells in _TELLING for failure in latest if tells(failure))
    return next(found, latest[0].error)
