"""Every event and every body of `/v1/messages` is what the types of the official client say, strictly, whichever fixture the answer is made of."""

import json
from pathlib import Path

import pytest
import trio

from pipeline import errors
from pipeline.case_names import shipped_names
from pipeline.cases import load_case
from pipeline.emit.messages_error import error_body
from pipeline.expectations import FORMS, Replay
from pipeline.models import Model
from server.anthropic_shape import model_page
from tests.clients.client_process import run_client
from tests.clients.install import PROGRAMS, PYTHON

pytestmark = pytest.mark.clients

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PenstockError)]
MODELS = [Model("a", "A", "x"), Model("b", "B", "x", created=1_700_000_000, context_window=200_000, max_tokens=32_000)]
UNSIGNED = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}


async def write_answers(folder: Path) -> int:
    """The streams and whole answers of all fixtures, but for those that failed before they began: replay has an HTTP error in a form of its own."""
    count = 0
    for name, path in shipped_names().items():
        for file in ("messages.sse", "messages.json"):
            made = await FORMS[file](Replay(load_case(path)))
            if not made.startswith(b"HTTP "):
                count += 1
                await trio.Path(folder, f"message-{name.replace('/', '-')}{Path(file).suffix}").write_bytes(made)
    return count


def write_other_bodies(folder: Path) -> None:
    for kind in KINDS:
        (folder / f"error-{kind.__name__}.json").write_text(json.dumps(error_body(kind("It went wrong.", param="messages"), "req_1")))
    (folder / "models-page.json").write_text(json.dumps(model_page(MODELS, {})))
    (folder / "count-tokens.json").write_text(json.dumps({"input_tokens": 7, "estimated": True}))


async def faults(folder: Path, scratch: Path) -> dict[str, str]:
    ended = await run_client(str(PYTHON), str(PROGRAMS / "anthropic_types.py"), str(folder), scratch=scratch)
    found: dict[str, str] = ended.outcome()
    return found


async def test_all_that_is_sent_is_of_the_client_s_types(scratch, tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    assert await write_answers(sent) > 100
    write_other_bodies(sent)
    assert len(KINDS) > 20
    # `request_too_large` is in the API's documentation and not in the types of its client
    assert set(await faults(sent, scratch)) == {"error-BodyTooLarge.json"}


async def test_what_is_of_no_type_is_found(scratch, tmp_path):
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "message-unsigned.sse").write_text(f"event: content_block_start\ndata: {json.dumps(UNSIGNED)}\n\n")
    assert "signature" in (await faults(tmp_path / "sent", scratch))["message-unsigned.sse"]
