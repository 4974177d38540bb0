"""MemoryStore: what is kept, for whom, how much and how long; and a conversation that becomes bytes and comes back."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.request import ImagePart, Message, OpaquePart, Role, TextPart, ToolCall
from server.response_store import ENTRY_BYTES, MemoryStore, StoredResponse, read_history, written_history

SECONDS = 10.0


def stored(size: int = 0, mark: bytes = b"") -> StoredResponse:
    return StoredResponse(mark + b"x" * size, b"", b"")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def store_of(*, entries: int = 10, max_bytes: int = 100_000) -> tuple[MemoryStore, Clock]:
    clock = Clock()
    return MemoryStore(entries=entries, max_bytes=max_bytes, seconds=SECONDS, clock=clock), clock


async def test_what_is_kept_is_its_owner_s_alone():
    store, _ = store_of()
    assert await store.put("me", "resp_1", stored(mark=b"mine"))
    assert await store.get("you", "resp_1") is None
    assert not await store.delete("you", "resp_1")
    assert await store.put("you", "resp_1", stored(mark=b"yours"))
    assert await store.get("me", "resp_1") == stored(mark=b"mine")
    assert await store.delete("me", "resp_1")
    assert not await store.delete("me", "resp_1")
    assert await store.get("you", "resp_1") == stored(mark=b"yours")


async def test_what_nobody_asks_for_is_forgotten():
    store, clock = store_of()
    await store.put("me", "left", stored())
    await store.put("me", "asked", stored())
    clock.now = 9
    assert await store.get("me", "asked") is not None
    clock.now = 10
    assert await store.get("me", "left") is None
    assert len(store) == 1
    clock.now = 19
    assert await store.get("me", "asked") is None
    assert store.size_bytes == 0


async def test_what_is_larger_than_the_store_is_refused_and_costs_nothing_else():
    store, _ = store_of(max_bytes=2 * ENTRY_BYTES)
    assert await store.put("me", "small", stored(10))
    assert not await store.put("me", "large", stored(ENTRY_BYTES + 1))
    assert await store.get("me", "small") is not None
    assert await store.get("me", "large") is None


async def test_what_replaces_another_takes_its_room():
    store, _ = store_of()
    await store.put("me", "a", stored(100))
    await store.put("me", "a", stored(10))
    assert (len(store), store.size_bytes) == (1, ENTRY_BYTES + 10)


async def test_who_stores_much_drives_out_his_own():
    store, _ = store_of(max_bytes=10 * ENTRY_BYTES)
    await store.put("alice", "first", stored())
    for number in range(20):
        assert await store.put("bob", f"{number}", stored(2 * ENTRY_BYTES))
    assert await store.get("alice", "first") is not None
    assert [number for number in range(20) if await store.get("bob", f"{number}")] == [17, 18, 19]


async def test_who_stores_many_drives_out_his_own():
    store, _ = store_of(entries=4)
    await store.put("alice", "first", stored(10 * ENTRY_BYTES))
    for number in range(20):
        assert await store.put("bob", f"{number}", stored())
    assert await store.get("alice", "first") is not None
    assert [number for number in range(20) if await store.get("bob", f"{number}")] == [17, 18, 19]


async def test_one_that_would_itself_have_to_go_drives_out_nothing():
    store, _ = store_of(max_bytes=10 * ENTRY_BYTES)
    for number in range(4):
        assert await store.put("alice", f"{number}", stored(ENTRY_BYTES))
    assert not await store.put("bob", "large", stored(6 * ENTRY_BYTES))
    assert (len(store), store.size_bytes) == (4, 8 * ENTRY_BYTES)
    assert await store.put("bob", "small", stored(3 * ENTRY_BYTES))
    assert (len(store), store.size_bytes) == (4, 10 * ENTRY_BYTES)


async def test_a_full_store_of_many_owners_takes_one_more_at_once():
    store, _ = store_of(entries=10_000, max_bytes=10_000 * ENTRY_BYTES)
    for number in range(10_000):
        await store.put(f"{number}", "a", stored())
    began = time.process_time()
    assert await store.put("one", "more", stored(5_000 * ENTRY_BYTES)) is False
    assert await store.put("one", "more", stored()) is True
    assert time.process_time() - began < 0.5


NAMES = st.tuples(st.sampled_from(["me", "you"]), st.sampled_from(["a", "b", "c", "d"]))
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.integers(0, 1500)),
        st.tuples(st.just("get"), NAMES, st.none()),
        st.tuples(st.just("delete"), NAMES, st.none()),
        st.tuples(st.just("wait"), st.none(), st.floats(0.1, 6)),
    ),
    max_size=40,
)


class Model:
    """The same, written without a thought for speed."""

    def __init__(self, entries: int, max_bytes: int) -> None:
        self.kept: OrderedDict[Any, tuple[StoredResponse, float]] = OrderedDict()
        self.entries, self.max_bytes = entries, max_bytes

    def forget(self, now: float) -> None:
        self.kept = OrderedDict((name, entry) for name, entry in self.kept.items() if now - entry[1] < SECONDS)

    def put(self, name: Any, value: StoredResponse, now: float) -> bool:
        self.kept.pop(name, None)
        if value.size_bytes > self.max_bytes:
            return False
        before = self.kept.copy()
        self.kept[name] = value, now
        while len(self.kept) > self.entries or sum(self.weights(lambda entry: entry.size_bytes).values()) > self.max_bytes:
            weights = self.weights((lambda _: 1) if len(self.kept) > self.entries else (lambda entry: entry.size_bytes))
            most = max(weights, key=lambda owner: (weights[owner], owner != name[0]))
            leaving = next(each for each in self.kept if each[0] == most)
            if leaving == name:
                self.kept = before
                return False
            del self.kept[leaving]
        return True

    def weights(self, weigh: Callable[[StoredResponse], int]) -> Counter[str]:
        weights: Counter[str] = Counter()
        for (owner, _), (entry, _) in self.kept.items():
            weights[owner] += weigh(entry)
        return weights

    def get(self, name: Any, now: float) -> StoredResponse | None:
        if name not in self.kept:
            return None
        self.kept[name] = self.kept.pop(name)[0], now
        return self.kept[name][0]


@given(ACTIONS)
@settings(max_examples=150, deadline=None)
def test_it_is_bounded_and_forgets_as_its_model_does(actions):
    trio.run(partial(compare, actions))


async def compare(actions) -> None:
    store, clock = store_of(entries=3, max_bytes=4 * ENTRY_BYTES)
    model = Model(3, 4 * ENTRY_BYTES)
    for action, name, value in actions:
        if action == "wait":
            clock.now += value
            continue
        model.forget(clock.now)
        owner, response_id = name
        if action == "put":
            assert await store.put(owner, response_id, stored(value)) == model.put(name, stored(value), clock.now)
        elif action == "get":
            assert await store.get(owner, response_id) == model.get(name, clock.now)
        else:
            assert await store.delete(owner, response_id) == (model.kept.pop(name, None) is not None)
        assert (len(store), store.size_bytes) == (len(model.kept), sum(entry.size_bytes for entry, _ in model.kept.values()))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=5
)
FIELDS = st.dictionaries(TEXT, JSON, max_size=2)
PARTS = st.one_of(
    st.builds(TextPart, TEXT, FIELDS),
    st.builds(ImagePart, TEXT, TEXT, st.none() | st.binary(max_size=8), FIELDS),
    st.builds(OpaquePart, TEXT, FIELDS, TEXT),
)
CALLS = st.builds(ToolCall, TEXT, TEXT, TEXT, custom=st.booleans())
MESSAGES = st.builds(
    Message,
    st.sampled_from(Role),
    st.lists(PARTS, max_size=3).map(tuple),
    st.lists(CALLS, max_size=2).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    FIELDS,
)


@given(st.lists(MESSAGES, max_size=4).map(tuple))
def test_every_conversation_comes_back_from_its_bytes(messages):
    assert read_history(written_history(messages)) == messages
