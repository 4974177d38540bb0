"""Every dialect over every kind of upstream: a gateway over an upstream that says an answer, asked in each dialect, streamed and whole.

`observed` gives what each client saw; `cell` says in few words what all of them saw, for the table of docs/dialects.md, which `make docs` writes from
here and the test of the dialects holds to what it sees.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.cases import Case, Meta, write_case
from pipeline.upstream.captured import PREFIX, CapturedUpstream
from server.settings import Route, Settings, Target
from tests.support.anthropic_words import ENDPOINT as MESSAGES
from tests.support.composer_backend import composer_backend
from tests.support.composer_server import ENDPOINT
from tests.support.dialect_clients import DIALECTS, Seen, ask
from tests.support.fake_bridge import fake_bridge
from tests.support.gateway_server import RunningServer, gateway_from, running_server
from tests.support.openai_server import ENDPOINT as CHAT
from tests.support.openai_server import openai_server
from tests.support.responses_events import ENDPOINT as RESPONSES
from tests.support.spoken_answers import ANSWERS, SPEAKERS, Answer, Fault, said_by
from tests.support.website_words import ENDPOINT as WEBSITE

PROMPT = "When does the ferry sail?"
OWN_ROUTE = 'display_reasoning = "field"'
"""With it Cursor gets the reasoning beside the text, as the other clients do."""

KEEP_NO_LIMIT = ("composer", "captured", "sdk-bridge")
REFUSE_NOTHING = (*KEEP_NO_LIMIT, "website", "anthropic")
"""Kinds that have no word for a refusal, and one where it is how an answer ends, of which dialects have different words."""
PATHS = {"openai-chat": CHAT, "openai-responses": RESPONSES, "anthropic": MESSAGES, "website": WEBSITE}
MAX_TOKENS = 8
"""What a client allows where an answer of theirs is to be cut short: the gateway does that, while the others' upstreams do it themselves."""

AMPLE_TOKENS = 4000
"""What a client allows otherwise, since Messages has to say something; a model is told it, so that it is counted in each prompt."""


@asynccontextmanager
async def served_by(kind: str, answer: Answer, folder: Path) -> AsyncGenerator[tuple[RunningServer, str]]:
    """A gateway over one upstream that gives the answer to whoever asks, and the model to ask for."""
    script = said_by(kind, answer)
    if kind == "captured":
        stream = b"".join(step for step in script if isinstance(step, bytes))
        write_case(Case(folder / "composer" / "said", stream, b"{}", Meta("composer", "chat", "a test", date(2026, 11, 21))))
        settings = Settings(routes={"*": Route(targets=(Target(upstream="captured", model="*"),), display_reasoning="field")})
        async with running_server(settings, {"captured": CapturedUpstream(pace_seconds=0, fixtures=folder)}) as server:
            yield server, f"{PREFIX}said"
        return
    async with table_of(kind, script) as table:
        toml = f'{table}\n[routes."*"]\ntargets = [{{ upstream = "one", model = "*" }}]\n{OWN_ROUTE}\n'
        async with gateway_from(folder, toml, mode="forward") as server:
            yield server, "composer-2.5"


@asynccontextmanager
async def table_of(kind: str, script: Any) -> AsyncGenerator[str]:
    """A server of the kind that plays the script, as the settings of the upstream `one`."""
    if kind == "sdk-bridge":
        async with fake_bridge(script) as bridge:
            yield bridge.table("one")
        return
    if kind == "composer":
        async with composer_backend(script) as upstream:
            yield _table(kind, base_url=upstream.origin, endpoint=ENDPOINT, api_base=upstream.origin)
        return
    async with openai_server(script, PATHS[kind]) as upstream:
        where = {"url": upstream.origin + WEBSITE} if kind == "website" else {"base_url": f"{upstream.origin}/v1"}
        yield _table(kind, **where, credential="caller")


def _table(kind: str, **settings: str) -> str:
    return f'[upstreams.one]\nkind = "{kind}"\n' + "".join(f'{name} = "{value}"\n' for name, value in settings.items())


def estimates(kind: str, answer: Answer) -> bool:
    """Whether the usage is the gateway's estimate: Composer does not count, and the bridge does when a run is over."""
    return kind in ("composer", "captured") or (kind == "sdk-bridge" and (bool(answer.calls) or answer.is_cut_short))


def cases():
    """All that can be said."""
    return [(kind, name) for kind in SPEAKERS for name in ANSWERS if not (kind in REFUSE_NOTHING and ANSWERS[name].refusal)]


Observed = Mapping[tuple[str, bool], Seen]
"""What was seen, by the dialect and whether it was streamed."""


async def observed(kind: str, name: str, folder: Path) -> Observed:
    """What the clients of all dialects see of an answer."""
    answer = ANSWERS[name]
    limit = MAX_TOKENS if kind in KEEP_NO_LIMIT and answer.is_cut_short else AMPLE_TOKENS
    seen: dict[tuple[str, bool], Seen] = {}
    async with served_by(kind, answer, folder) as (server, model), server.client() as client:
        for dialect in DIALECTS:
            for stream in (True, False):
                seen[dialect, stream] = await ask(client, dialect, model, PROMPT, stream=stream, max_tokens=limit)
    return seen


NOT_SAID = "–"
"""Stands for what a kind has no word for."""


def cell(answer: Answer, seen: Observed) -> str:
    """What all saw: why the answer ended, and whose figures its usage has; or the fault."""
    said = seen["chat", True]
    if answer.fault is Fault.BEFORE:
        return f"HTTP {said.status}"
    if answer.fault is not None:
        broken = [dialect for dialect in DIALECTS if seen[dialect, True].error != said.error]
        return "error" if not broken else f"error; on `/{broken[0]}` the connection breaks"
    assert said.usage is not None
    return f"`{said.finish}`, {'estimated' if said.usage[-1] else 'measured'}"
