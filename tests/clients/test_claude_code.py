"""Claude Code, run as `claude -p`, through `/v1/messages`: it really reads, edits, writes and runs what Composer's text asks for."""

import json
import re
import shlex
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.clients.answers import ARCHIPELAGO, ARCHIPELAGO_SCHEMA, DOT, NOTES, OVERLOADED_LATER, RATE_LIMIT, REFUSED_KEY, THOUGHT_FIRST
from tests.clients.client_process import Ended, Outside, no_outside, run_client
from tests.clients.install import CLAUDE_CODE
from tests.clients.scripted_model import Gateway, Model, ScriptedModel, gateway_over, gateway_to
from tests.clients.shown import shown
from tests.support.composer_scripts import B, S, b, block, call, framed, paced
from tests.support.composer_server import Cut
from tests.support.sdk_model import ScriptedAgent

pytestmark = pytest.mark.clients

QUESTION = "How many words are in notes.txt?"
ALLOWED = "Bash,Edit,Read,ToolSearch,WebSearch,Write"
WINDOW = 200_000
"""The window that the page's variables name; of a model that it does not know, Claude Code takes it to be a million tokens."""


class ClaudeCode:
    """Claude Code in one scratch folder, with one gateway."""

    def __init__(self, scratch: Path, gateway: Gateway, outside: Outside) -> None:
        self._scratch = scratch
        self.outside = outside
        self._environment = {"TERM": "dumb", **exported(shown("sh", gateway)), **exported(shown("sh", gateway, naming="AUTOUPDATER"))}

    async def run(self, question: str, *options: str) -> "Run":
        command = (str(CLAUDE_CODE), "-p", question, *options, "--allowedTools", ALLOWED, "--output-format", "stream-json", "--verbose")
        return Run(await run_client(*command, scratch=self._scratch, outside=self.outside, environment=self._environment))


def exported(lines: str) -> dict[str, str]:
    """What a shell would have in its environment behind these lines."""
    words = [word for word in shlex.split(lines, comments=True) if word != "export"]
    return dict(word.split("=", 1) for word in words)


class Run(msgspec.Struct, frozen=True):
    """What a run printed, one event a line."""

    ended: Ended

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ended.out.splitlines()]

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """The blocks of a kind, of the assistant's and the tools' messages, in order."""
        said = [event["message"]["content"] for event in self.events if event["type"] in ("assistant", "user")]
        return [block for content in said if isinstance(content, list) for block in content if block["type"] == kind]

    @property
    def text(self) -> list[str]:
        said = [event["message"]["content"] for event in self.events if event["type"] == "assistant"]
        return [block["text"] for content in said for block in content if block["type"] == "text"]

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        return [(block["name"], block["input"]) for block in self.blocks("tool_use")]

    @property
    def results(self) -> list[str]:
        return [json.dumps(block["content"]) for block in self.blocks("tool_result")]

    @property
    def failed_results(self) -> list[str]:
        return [block["content"] for block in self.blocks("tool_result") if block.get("is_error")]

    @property
    def outcome(self) -> dict[str, Any]:
        return next(event for event in self.events if event["type"] == "result")


Behind: TypeAlias = Callable[[Model, Path], AbstractAsyncContextManager[Gateway]]


@asynccontextmanager
async def claude_code(scratch: Path, model: Model, behind: Behind = gateway_to) -> AsyncGenerator[ClaudeCode, None]:
    async with behind(model, scratch.parent / "gateway") as gateway, no_outside() as outside:
        yield ClaudeCode(scratch, gateway, outside)


OVER: dict[str, tuple[type[ScriptedModel] | type[ScriptedAgent], Behind]] = {
    "composer": (ScriptedModel, gateway_to),
    "sdk-bridge": (ScriptedAgent, gateway_to),
    "openai-chat": (ScriptedModel, partial(gateway_over, "openai-chat")),
    "openai-responses": (ScriptedModel, partial(gateway_over, "openai-responses")),
    "anthropic": (ScriptedModel, partial(gateway_over, "anthropic")),
}


@pytest.mark.parametrize(("kind", "behind"), OVER.values(), ids=OVER)
async def test_it_reads_a_file_runs_a_command_and_ends(scratch, kind, behind):
    model = kind(
        "I will read it." + block(call("Read", file_path=str(scratch / "notes.txt"))),
        block(call("Bash", command="wc -w < notes.txt | tee count.txt", description="Count words", timeout="5000")),
        "There are five.",
    )
    async with claude_code(scratch, model, behind) as client:
        run = await client.run(QUESTION)

    assert run.ended.status == 0, run.ended.err
    assert run.text == ["I will read it.", "There are five."]
    (read, _), (bash, given) = run.calls
    assert (read, bash, given["timeout"]) == ("Read", "Bash", 5000), "a number that the model wrote is one for Claude Code"
    assert (scratch / "count.txt").read_text() == "5\n"
    assert QUESTION in model.prompts[0]
    assert NOTES.strip() in model.results[0]
    assert model.results[1].strip() == "5"
    assert model.turns == 3
    assert client.outside.asked == []


async def test_it_takes_the_model_s_window_and_counts_tokens(scratch):
    async with claude_code(scratch, ScriptedModel("There are five. " * 50)) as client:
        run = await client.run(QUESTION)
    (usage,) = run.outcome["modelUsage"].values()
    assert usage["contextWindow"] == WINDOW
    assert usage["inputTokens"] > 5000 > usage["outputTokens"] > 100
    assert run.ended.err.strip() in ("", '[claude-code:unrecognized_model] {"model":"composer-2.5","query_source":"sdk"}')


async def test_two_calls_of_one_answer_are_both_run(scratch, scripted):
    (scratch / "more.txt").write_text("the tide comes at four\n")
    files = [str(scratch / name) for name in ("notes.txt", "more.txt")]
    model = scripted(block(*(call("Read", file_path=file) for file in files)), "Read.")
    async with claude_code(scratch, model) as client:
        run = await client.run("Read both files.")
    assert [given["file_path"] for _, given in run.calls] == files
    assert run.text == ["Read."]
    assert model.turns == 2
    # it runs them side by side, and tells them as they end
    assert {("heron" in result, "tide" in result) for result in model.results} == {(True, False), (False, True)}


OLD, NEW = '\\\\ \\n 🐦"', '\\t é </think>"'


async def test_what_it_writes_and_edits_is_what_composer_wrote(scratch, scripted):
    odd = f'MARKS = ["{B}", "{S}"]\n\n\ndef greet(name: str) -> str:\n\treturn f"Grüezi, {{name}}! \\\\ \\n 🐦" # </think>\n'
    path = str(scratch / "greet.py")
    model = scripted(
        block(call("Write", file_path=path, content=odd)),
        block(call("Edit", file_path=path, old_string=OLD, new_string=NEW, replace_all="false")),
        "Written.",
    )
    async with claude_code(scratch, model) as client:
        run = await client.run("Write greet.py.")
    assert (run.failed_results, run.text) == ([], ["Written."]), run.ended.out
    assert (scratch / "greet.py").read_text() == odd.replace(OLD, NEW)


async def test_a_tool_that_fails_says_so_to_the_model(scratch):
    model = ScriptedModel(block(call("Read", file_path=str(scratch / "nowhere.txt"))), "It is not there.")
    async with claude_code(scratch, model) as client:
        run = await client.run("Read nowhere.txt.")
    assert len(run.failed_results) == 1
    assert run.text == ["It is not there."]
    assert re.search(r"^TOOL \(Read, \w+, failed\): ", model.prompts[1], re.MULTILINE)


async def test_an_image_that_it_reads_reaches_the_model(scratch):
    (scratch / "dot.png").write_bytes(DOT)
    model = ScriptedModel(block(call("Read", file_path=str(scratch / "dot.png"))), "It is a dot.")
    async with claude_code(scratch, model) as client:
        run = await client.run("What is in dot.png?")
    assert run.text == ["It is a dot."], run.ended.out
    (image,) = model.requests[1].images
    assert (image.width, image.height) == (1, 1)


async def test_reasoning_is_taken_and_a_session_goes_on(scratch):
    model = ScriptedModel(THOUGHT_FIRST)
    async with claude_code(scratch, model) as client:
        first = await client.run("Is 2027 prime?")
        again = await client.run("And 2029?", "--continue")
    assert (first.text, again.text) == (["Yes, it is prime."], ["Yes, it is prime."])
    history = model.prompts[1].rpartition("Is 2027 prime?")[2]
    assert history.index("Yes, it is prime.") < history.index("And 2029?")
    assert len({request.conversation_id for request in model.requests}) == 1


async def test_its_web_search_is_found_and_answered_by_the_model(scratch):
    def answer(prompt: str) -> str:
        # the search is a request of its own, which offers a tool of Anthropic's servers alone
        return "It is high at four." if "Tools, one JSON object a line:" not in prompt else block(call("ToolSearch", query="select:WebSearch"))

    model = ScriptedModel(answer, block(call("WebSearch", query="tide at Virtsu")), "At four.")
    async with claude_code(scratch, model) as client:
        run = await client.run("When is the tide high?")
    assert [name for name, _ in run.calls] == ["ToolSearch", "WebSearch"], run.ended.out
    assert run.text == ["At four."]
    assert "It is high at four." in model.results[1]
    assert model.turns == 4


async def test_an_answer_of_a_schema_is_what_the_schema_says(scratch, scripted):
    people, islands = str(ARCHIPELAGO["people"]), json.dumps(ARCHIPELAGO["islands"])
    model = scripted(block(call("StructuredOutput", name=str(ARCHIPELAGO["name"]), people=people, islands=islands)), "Done.")
    async with claude_code(scratch, model) as client:
        run = await client.run("Describe the archipelago.", "--json-schema", json.dumps(ARCHIPELAGO_SCHEMA))
    assert run.outcome["structured_output"] == ARCHIPELAGO, run.ended.out


HALF_A_COMMAND = paced(framed(f"Tidying up.\n{B}{b}\nBash\n{S}description\nTidy\n{S}command\nrm notes.txt"), Cut())


async def test_half_a_command_is_not_run_and_the_answer_is_gone_on_with(scratch, scripted):
    model = scripted("I did nothing.", faults=[HALF_A_COMMAND])
    async with claude_code(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert (scratch / "notes.txt").exists()
    assert run.calls == []
    assert run.text[-1] == "I did nothing."
    assert run.ended.status == 0
    assert model.turns == 2


async def test_a_command_that_is_always_cut_ends_it(scratch):
    model = ScriptedModel(HALF_A_COMMAND)
    async with claude_code(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert (scratch / "notes.txt").exists()
    assert run.calls == []
    assert run.ended.status == 1
    assert run.outcome["result"] == "API Error: Server error mid-response. The response above may be incomplete."
    assert model.turns == 4


async def test_an_upstream_that_breaks_off_is_asked_again(scratch, scripted):
    model = scripted("Tidy.", faults=[OVERLOADED_LATER])
    async with claude_code(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert (run.text[-1], run.ended.status) == ("Tidy.", 0)
    assert model.turns == 2


async def test_it_waits_as_long_as_a_limit_asks_and_goes_on(scratch, scripted):
    # the gateway waits for the first one itself and tells of the second
    model = scripted("There are five.", faults=[RATE_LIMIT, RATE_LIMIT])
    async with claude_code(scratch, model) as client:
        run = await client.run(QUESTION)
    assert run.text == ["There are five."], run.ended.out
    (retry,) = (event for event in run.events if event.get("subtype") == "api_retry")
    assert (retry["error_status"], retry["error"]) == (429, "rate_limit")
    assert model.turns == 3


async def test_a_refused_key_stops_it_with_the_reason_at_once(scratch, scripted):
    model = scripted(REFUSED_KEY)
    async with claude_code(scratch, model) as client:
        run = await client.run(QUESTION)
    assert run.ended.status == 1
    assert re.match(r"Failed to authenticate\. API Error: 401 The (upstream|SDK) does not accept this key\.", run.outcome["result"])
    assert model.turns == 1


async def test_an_unknown_model_ends_it_with_the_reason(scratch):
    model = ScriptedModel("Hello.")
    async with claude_code(scratch, model) as client:
        run = await client.run(QUESTION, "--model", "no-such-model")
    assert run.ended.status == 1
    assert (run.outcome["api_error_status"], run.outcome["api_error_type"]) == (404, "not_found_error")
    assert "no-such-model" in run.outcome["result"]
    assert model.requests == []
