"""UsageMeter: what of an answer is counted, and by which method."""

import pytest

from pipeline.events import Finish, Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UsageReport
from pipeline.usage.estimate import Counted, Method, tokens_in
from pipeline.usage.meter import UsageMeter

PROMPT = "Wie viele Züge fahren von 東京 nach Kyōto?"
METHODS: tuple[Method, ...] = ("calibrated", "chars4")

# events -> the text of the answer and of the thinking
ANSWERS = {
    "nothing": ([], "", ""),
    "text": ([TextDelta("Every "), TextDelta("ten minutes.")], "Every ten minutes.", ""),
    "a refusal is text": ([RefusalDelta("I can't.")], "I can't.", ""),
    "thinking is counted apart": ([ThinkingDelta("Let me "), TextDelta("Yes."), ThinkingDelta("see.")], "Yes.", "Let me see."),
    "a call's name and arguments": (
        [ToolCallStart(0, "call_1", "timetable"), ToolCallDelta(0, '{"from":'), ToolCallDelta(0, '"東京"}'), ToolCallEnd(0)],
        'timetable{"from":"東京"}',
        "",
    ),
    "what has no text": ([Notice("repaired", "long text that is not the model's"), Finish()], "", ""),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("events", "answer", "thinking"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_counted(method, events, answer, thinking):
    meters = [UsageMeter(prompt=PROMPT, method=method) for _ in range(2)]
    assert meters[0].feed(events) is events
    for event in events:
        meters[1].feed([event])
    reasoning = tokens_in(thinking, method)
    expected = UsageReport(tokens_in(PROMPT, method), tokens_in(answer, method) + reasoning, reasoning_tokens=reasoning)
    assert [meter.report() for meter in meters] == [expected, expected]


@pytest.mark.parametrize("method", METHODS)
def test_a_report_between_changes_nothing(method):
    meter = UsageMeter(prompt=PROMPT, method=method)
    for piece in ("Ever", "y te", "n min", "utes."):
        meter.feed([TextDelta(piece)])
        meter.report()
    assert meter.report().completion_tokens == tokens_in("Every ten minutes.", method)


def test_what_the_upstream_measured_has_the_last_word():
    meter, measured = UsageMeter(prompt=PROMPT), UsageReport(11, 7, reasoning_tokens=2, cached_tokens=3, estimated=False)
    meter.feed([TextDelta("Every ten minutes."), measured, TextDelta(" Or so.")])
    assert meter.report() == measured


@pytest.mark.parametrize("method", METHODS)
def test_a_second_attempt_is_paid_too(method):
    meter = UsageMeter(prompt=PROMPT, method=method)
    meter.feed([TextDelta("No.")])
    meter.ask_again()
    meter.feed([TextDelta("Yes.")])
    assert meter.report() == UsageReport(2 * tokens_in(PROMPT, method), tokens_in("No.Yes.", method))


@pytest.mark.parametrize("method", METHODS)
def test_a_prompt_that_was_counted_is_not_counted_again_but_by_the_same_method(method):
    assert UsageMeter(PROMPT, method, counted=Counted(12_345, method)).report().prompt_tokens == 12_345
    other = next(name for name in METHODS if name != method)
    assert UsageMeter(PROMPT, method, counted=Counted(12_345, other)).report().prompt_tokens == tokens_in(PROMPT, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_count_of_its_own_is_by_the_same_measure_and_apart(method):
    meter = UsageMeter(method=method)
    count = meter.new_count()
    count.add("Kyōto " * 20)
    assert count.total == tokens_in("Kyōto " * 20, method)
    assert meter.report().total_tokens == 0
