"""docs/messages.md holds what the program does: its paths are served, its settings load, its notices, codes and words are those that there are."""

import re

import pytest

from pipeline.emit.messages import OWN_REASONS, REASONS
from pipeline.errors import PenstockError
from pipeline.messages_fields import FIELDS
from pipeline.notices import NOTICES
from pipeline.parse.messages import parse_messages
from pipeline.prompt.messages_profile import MessagesProfile
from server.config import load_settings
from server.upstream_settings import Anthropic
from server.web.page import ENDPOINTS
from tests.support.documents import ROOT
from tests.support.gateway_server import running_server
from tests.support.messages_requests import encode
from tests.support.processes import clean_environment
from tests.support.settings_files import usual_umask

TEXT = (ROOT / "docs/messages.md").read_text(encoding="utf-8")
WRITTEN = re.sub(r"^<!-- generated: .*?^<!-- end -->$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
WORDS = set(re.findall(r"`([a-z]\w*_\w+)`", WRITTEN))
"""What stands as code and is a word with an underscore."""

OF_BODIES = {
    *("stop_reason", "stop_sequence", "message_start", "message_delta", "message_stop", "input_tokens", "count_tokens", "after_id", "before_id"),
    *("is_error", "bash_20250124", "web_search_20250305", "mcp_toolset", "content_filter"),
}
"""Those of the API's own that no table of this program has."""


def test_its_paths_are_served():
    paths = re.findall(r"^\| `(\w+) (/\S+)` \|", WRITTEN, re.MULTILINE)
    assert len(paths) == 4
    assert set(paths) <= {(row.method, row.path) for row in ENDPOINTS}


def test_its_settings_are_valid(tmp_path):
    [settings] = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    with usual_umask():
        (tmp_path / "penstock.toml").write_text(settings, encoding="utf-8")
        environ = clean_environment(HOME=str(tmp_path), ANTHROPIC_API_KEY="sk-4f9a0c77-one", OTHER_API_KEY="sk-4f9a0c77-two")
        upstreams = load_settings(overrides={}, config=None, environ=environ, cwd=tmp_path).settings.upstreams
    own, other = upstreams["anthropic"], upstreams["other"]
    assert isinstance(own, Anthropic)
    assert isinstance(other, Anthropic)
    assert (own.api_key_header, own.profile.prompt_cache, other.profile.thinking) == ("x-api-key", True, "budget")


def test_its_words_are_those_of_the_program():
    codes = {kind.default_code for kind in subclasses(PenstockError)} | {"invalid_arguments", "overloaded_error"}
    fields = {row.name for row in FIELDS} | set(MessagesProfile.__struct_fields__)
    reasons = {*REASONS.values(), *OWN_REASONS}
    assert not WORDS - OF_BODIES - {*NOTICES, *codes, *fields, *reasons}
    assert OF_BODIES <= WORDS, "some are named no more"
    assert {f"**`{name}`**" for name in MessagesProfile.__struct_fields__ if name not in ("images", "reasoning_effort", "unsigned_thinking")} <= set(
        re.findall(r"\*\*`\w+`\*\*", WRITTEN)
    )


def subclasses(kind: type[PenstockError]) -> set[type[PenstockError]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_the_notices_of_what_is_left_out_are_those_that_it_names():
    tools = [{"type": kind, "name": "x"} for kind in ("web_search_20250305", "bash_20250124")] + [{"type": "mcp_toolset", "mcp_server_name": "x"}]
    request = parse_messages(encode(tools=tools)).request
    assert (request.tools, {notice.code for notice in request.notices}) == ((), {"hosted_tool_ignored"})
    searched = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "So."}]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": searched}, {"role": "user", "content": "Go on."}]
    assert [notice.code for notice in parse_messages(encode(messages=turns)).request.notices] == ["history_item_dropped"]


@pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/files"])
async def test_what_is_not_there_is_a_404(path):
    async with running_server() as server, server.client(**{"anthropic-version": "2023-06-01"}) as client:
        answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
