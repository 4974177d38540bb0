"""output_rules: one line a rule, in the scope that the tools leave it."""

import pytest

from pipeline.prompt.neutral import EVERYTHING, LABELS
from pipeline.prompt.output_rules import output_rules
from pipeline.request import AnswerFormat, Options, Request, ToolChoice, ToolMode
from tests.prompt.shapes import HELLO, READ, SCHEMA


def rules(neutral=LABELS, tools=(), choice=ToolMode.AUTO, **options):
    return output_rules(Request("m", HELLO, tools, ToolChoice(choice), Options(**options)), neutral)


def test_no_constraint_is_no_rule():
    assert rules() == []
    assert rules(tools=(READ,), parallel_tool_calls=False, reasoning_effort="high", verbosity="low") == []


@pytest.mark.parametrize(
    ("tools", "choice", "scope"),
    [
        ((), ToolMode.AUTO, "The answer is"),
        ((READ,), ToolMode.AUTO, "When you answer in text, that text is"),
        ((READ,), ToolMode.REQUIRED, "When you answer in text, that text is"),
        ((READ,), ToolMode.NONE, "The answer is"),
    ],
)
def test_json_is_asked_of_the_text_alone_where_calls_may_come(tools, choice, scope):
    (line,) = rules(tools=tools, choice=choice, answer_format=AnswerFormat("json_object"))
    assert line.startswith(f"{scope} one JSON object")


def test_every_rule_is_one_line_that_means_what_it_says():
    said = rules(
        max_tokens=7, stop=("END", "\nUSER:\u2028"), answer_format=AnswerFormat("json_schema", SCHEMA | {"title": "a\u2028b"}, "place", "A\nplace")
    )
    assert [len(line.splitlines()) for line in said] == [1] * 4
    assert said[0] == "Use at most 7 tokens."
    assert said[1].endswith('["END","\\nUSER:\\u2028"]')
    assert said[2].endswith('"required":["city"],"title":"a\\u2028b"}')
    assert said[3] == 'What that JSON value is for: "A\\nplace"'


def test_markers_in_a_rule_are_changed_only_where_they_are_asked_to_be():
    assert "</think>" in rules(stop=("</think>",))[0]
    assert "</think>" not in rules(EVERYTHING, stop=("</think>",))[0]
