"""docs/website.md holds what the program does: its settings load, its errors are those that are made, its example of a call is one."""

import re

import pytest

from pipeline.errors import StreamCut, UpstreamUnusable
from pipeline.events import Finish, TextDelta, ToolCallStart
from pipeline.identity import Identity
from pipeline.machine.answer import AnswerMachine, Markup, taught
from pipeline.prompt.website_messages import TRIGGER_CHARS, new_trigger, prompt_text
from pipeline.request import Tool
from pipeline.wire.website_errors import WebsiteErrors
from server.config import load_settings
from tests.prompt.shapes import SHAPES
from tests.support.processes import ROOT
from tests.support.settings_files import usual_umask
from tests.support.website_scripts import HTML, PAGE

TEXT = (ROOT / "docs/website.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.*?) \| (\d{3} `.*?) \|$", TEXT, re.MULTILINE)


def test_its_settings_are_valid(tmp_path):
    [settings] = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    with usual_umask():
        (tmp_path / "penstock.toml").write_text(settings, encoding="utf-8")
        loaded = load_settings(overrides={}, config=None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert list(loaded.settings.upstreams) == ["website"]


@pytest.mark.parametrize(
    ("status", "body"), [(status, body) for status in (401, 402, 403, 404, 405, 410, 429, 500, 503, 504) for body in (b"{}", PAGE)]
)
def test_each_status_is_told_as_its_row_says(status, body):
    error = WebsiteErrors().from_http(status, HTML if body is PAGE else {}, body)
    words = rf"\b{status}\b" if status != 500 else "another 5xx"
    told = next(says for what, says in ROWS if re.search(words, what) and not what.startswith("a page"))
    assert f"{error.status} `{error.code}`" in told


def test_the_other_rows_are_what_is_said():
    assert any(what.startswith("no `url`") and UpstreamUnusable.default_code in says for what, says in ROWS)
    assert any(what == "a stream that ends without an end" and StreamCut.default_code in says for what, says in ROWS)
    redirect = WebsiteErrors().from_http(302, {}, b"")
    assert next(says for what, says in ROWS if "redirect" in what) == f"{redirect.status} `{redirect.code}`"


def test_its_call_is_read_as_one():
    [call] = re.findall(r"^ {4}(@@.*)$", TEXT, re.MULTILINE)
    trigger = call[: TRIGGER_CHARS + 4]
    machine = AnswerMachine(tools=[Tool("read")], new_id=lambda: "call_1", markup=taught(Markup(), trigger))
    assert isinstance(machine.feed([TextDelta(call), Finish()])[0], ToolCallStart)


def test_its_overhead_is_that_of_the_prompt():
    count = len(prompt_text(SHAPES["one_tool"], trigger=new_trigger(Identity.frozen()))) - len("Hello")
    assert 950 <= count <= 1_050
    assert "about 1,000 characters" in TEXT
    assert prompt_text(SHAPES["ask"]) == "Hello"
