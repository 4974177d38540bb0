"""with_error_marks: what failed says so, and nothing else changes."""

import pytest

from pipeline.parse.quirks.results import ERROR_MARK as MARK_OF_CURSOR
from pipeline.prompt.error_marks import ERROR_MARK, with_error_marks
from pipeline.request import ImagePart, Message, Request, Role, TextPart
from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream
from pipeline.upstream.openai_responses import OpenAIResponsesConfig, OpenAIResponsesUpstream
from tests.upstream.test_openai_chat import direct

IMAGE = ImagePart("https://a.example/x.png")
KINDS = [(OpenAIChatUpstream, OpenAIChatConfig), (OpenAIResponsesUpstream, OpenAIResponsesConfig)]


def result(*parts, **fields):
    return Message(Role.TOOL, parts, tool_call_id="call_1", **fields)


def test_the_mark_is_the_one_that_cursor_s_results_have():
    assert ERROR_MARK == MARK_OF_CURSOR


@pytest.mark.parametrize(
    ("parts", "becomes"),
    [
        ((TextPart("no"),), (TextPart("[error]\nno"),)),
        ((), (TextPart("[error]"),)),
        ((IMAGE, TextPart("no")), (TextPart("[error]"), IMAGE, TextPart("no"))),
        ((TextPart("a", {"x": 1}), TextPart("b")), (TextPart("[error]\na", {"x": 1}), TextPart("b"))),
    ],
)
def test_a_result_that_failed(parts, becomes):
    assert with_error_marks(Request("m", (result(*parts, is_error=True),))).messages == (result(*becomes),)


def test_what_did_not_fail_is_the_very_same():
    request = Request("m", (result(TextPart("yes")),))
    assert with_error_marks(request) is request
    assert with_error_marks(Request("m", (request.messages[0], result(is_error=True)))).messages[0] is request.messages[0]


@pytest.mark.parametrize(("make", "config"), KINDS)
async def test_upstreams_with_openai_s_apis_are_told_in_the_text(make, config):
    async with direct() as client:
        upstream = make("one", config("https://a.example"), client)
        outgoing = upstream.write(Request("m", (Message(Role.USER, (TextPart("Hi"),)), result(TextPart("no"), is_error=True))))
    assert b'"[error]\\nno"' in outgoing.body
    assert "[error]\nno" in outgoing.prompt
