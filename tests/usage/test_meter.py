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
    both = tokens_in("No.", method) + tokens_in("Yes.", method)
    assert meter.report() == UsageReport(2 * tokens_in(PROMPT, method), both)
    assert meter.completion_tokens == both


def test_a_second_attempt_is_paid_too_where_the_upstream_measures():
    meter = UsageMeter(prompt=PROMPT)
    first = UsageReport(11, 7, 2, 3, estimated=False, extra={"cost": 0.5, "tier": "a", "prompt_tokens_details": {"audio_tokens": 1}, "calls": 1})
    second = UsageReport(11, 5, 1, 4, estimated=False, extra={"cost": 0.25, "tier": "b", "flag": True})
    meter.feed([TextDelta("No."), first])
    meter.ask_again()
    assert meter.completion_tokens == 7
    meter.feed([TextDelta("Yes."), second])
    extra = {"cost": 0.75, "tier": "b", "prompt_tokens_details": {"audio_tokens": 1}, "calls": 1, "flag": True}
    assert meter.report() == UsageReport(22, 12, 3, 7, estimated=False, extra=extra)
    assert meter.completion_tokens == 12


@pytest.mark.parametrize("measured_first", [True, False])
def test_two_attempts_of_which_one_was_measured_are_an_estimate(measured_first):
    meter, counted = UsageMeter(prompt=PROMPT), UsageReport(11, 7, estimated=False)
    meter.feed([TextDelta("No."), *([counted] if measured_first else [])])
    meter.ask_again()
    meter.feed([TextDelta("Yes."), *([] if measured_first else [counted])])
    guessed = tokens_in("Yes." if measured_first else "No.", "calibrated")
    assert meter.report() == UsageReport(11 + tokens_in(PROMPT, "calibrated"), 7 + guessed)


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


def test_where_only_the_prompt_was_measured_the_answer_is_estimated():
    meter = UsageMeter(PROMPT)
    meter.feed([UsageReport(33, 0, cached_tokens=20, estimated=False)])
    assert meter.report() == UsageReport(33, 0, cached_tokens=20, estimated=False)
    meter.feed([ThinkingDelta("Hm."), TextDelta("Every ten minutes.")])
    report = meter.report()
    said = tokens_in("Every ten minutes.") + tokens_in("Hm.")
    assert report == UsageReport(33, said, reasoning_tokens=tokens_in("Hm."), cached_tokens=20, estimated=True, prompt_estimated=False)
    assert meter.completion_tokens == said
    meter.feed([UsageReport(33, 9, estimated=False)])
    assert (meter.report(), meter.completion_tokens) == (UsageReport(33, 9, estimated=False), 9)
