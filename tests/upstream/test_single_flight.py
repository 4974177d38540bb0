"""Values fetched once: who fetches, who waits, what is kept and for how long."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from pipeline.errors import AuthenticationError, UpstreamUnavailable
from pipeline.upstream.single_flight import Fresh, Held, SingleFlightCache, fingerprint


class Source:
    """Counts the fetches; each takes `seconds` and then gives its number, or raises."""

    def __init__(self, seconds: float = 1.0, errors: Sequence[Exception | None] = (), life: float = 100.0) -> None:
        self.started = 0
        self.finished = 0
        self.seconds = seconds
        self.errors = errors
        self.life = life

    async def fetch(self) -> Fresh[int]:
        number = self.started
        self.started += 1
        await trio.sleep(self.seconds)
        self.finished += 1
        if number < len(self.errors) and (error := self.errors[number]) is not None:
            raise error
        return Fresh(number, trio.current_time() + self.life)


def cache(max_count: int = 10) -> SingleFlightCache[int]:
    return SingleFlightCache(trio.current_time, max_count)


async def test_a_hundred_at_once_are_one_fetch(autojump_clock):
    subject, source, found = cache(), Source(), []

    async def ask() -> None:
        found.append(await subject.get("a", source.fetch))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
    assert found == [Held(0, is_kept=False)] * 100
    assert source.started == 1
    assert await subject.get("a", source.fetch) == Held(0, is_kept=True)


async def test_a_failure_is_told_to_all_who_waited_and_not_kept(autojump_clock):
    subject, source = cache(), Source(errors=[AuthenticationError("no", retry_after_seconds=3)])
    errors: list[AuthenticationError] = []

    async def ask() -> None:
        with pytest.raises(AuthenticationError) as raised:
            await subject.get("a", source.fetch)
        errors.append(raised.value)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
    assert source.started == 1
    assert {(error.message, error.code, error.retry_after_seconds) for error in errors} == {("no", "invalid_api_key", 3)}
    assert len({id(error) for error in errors}) == 100
    assert await subject.get("a", source.fetch) == Held(1, is_kept=False)


async def test_when_the_one_who_fetches_is_cancelled_another_takes_over(autojump_clock):
    subject, source, found = cache(), Source(), []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            found.append(await subject.get("a", source.fetch))

    scopes = [trio.CancelScope() for _ in range(10)]
    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(ask, scope)
            await trio.testing.wait_all_tasks_blocked()
        scopes[0].cancel()
    assert found == [Held(1, is_kept=False)] * 9
    assert (source.started, source.finished) == (2, 1)


async def test_one_who_waits_and_is_cancelled_takes_nobody_along(autojump_clock):
    subject, source, found = cache(), Source(seconds=5), []

    async def ask(seconds: float) -> None:
        with trio.move_on_after(seconds):
            found.append(await subject.get("a", source.fetch))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 60)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 60)
    assert (found, source.started) == ([Held(0, is_kept=False)] * 2, 1)


async def test_a_bug_in_a_fetch_leaves_nothing_behind(autojump_clock):
    subject, source = cache(), Source(errors=[ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        await subject.get("a", source.fetch)
    assert await subject.get("a", source.fetch) == Held(1, is_kept=False)


async def test_a_value_is_kept_until_it_expires(autojump_clock):
    subject, source = cache(), Source(seconds=0, life=100)
    await subject.get("a", source.fetch)
    await trio.sleep(99.9)
    assert await subject.get("a", source.fetch) == Held(0, is_kept=True)
    await trio.sleep(0.1)
    assert await subject.get("a", source.fetch) == Held(1, is_kept=False)


async def test_a_value_that_is_expired_at_once_is_given_and_not_kept(autojump_clock):
    subject, source = cache(), Source(life=0)
    assert [(await subject.get("a", source.fetch)).value for _ in range(3)] == [0, 1, 2]


async def test_the_one_not_asked_for_the_longest_goes_first(autojump_clock):
    subject, source = cache(max_count=2), Source()
    for name in ("a", "b", "a", "c"):
        await subject.get(name, source.fetch)
    assert [(await subject.get(name, source.fetch)).is_kept for name in ("a", "c", "b")] == [True, True, False]


async def test_only_the_value_that_was_no_good_is_dropped(autojump_clock):
    subject, source = cache(), Source()
    held = await subject.get("a", source.fetch)
    subject.drop("a", 17)
    subject.drop("b", held.value)
    assert (await subject.get("a", source.fetch)).is_kept
    subject.drop("a", held.value)
    assert await subject.get("a", source.fetch) == Held(1, is_kept=False)


async def test_names_do_not_wait_for_one_another(autojump_clock):
    subject = cache()
    slow, quick = Source(seconds=50), Source(errors=[UpstreamUnavailable("no")])

    async def ask_slowly() -> None:
        await subject.get("slow", slow.fetch)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_slowly)
        with pytest.raises(UpstreamUnavailable):
            await subject.get("quick", quick.fetch)
        assert trio.current_time() < 50


def test_a_fingerprint_is_of_the_whole_key():
    shared = "k" * 40
    assert fingerprint(shared + "a") != fingerprint(shared + "b")
    assert shared not in fingerprint(shared)
    assert fingerprint("\ud800") != fingerprint("?")
