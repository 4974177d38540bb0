"""The counts of a UI message stream: what is one, and that no other name can stand in for ours."""

import pytest

from pipeline.emit.chat import usage_body
from pipeline.emit.messages import usage_fields as messages_fields
from pipeline.emit.responses_object import usage_fields as responses_fields
from pipeline.events import UsageReport
from pipeline.wire.ui_message_usage import read_ui_usage

COUNTS = {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}
OURS = {
    name
    for form in (usage_body, messages_fields, responses_fields)
    for name in form(UsageReport(9, 3), None)
    if name != "cost"
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OURS | {"cached_tokens", "reasoning_tokens", "input_tokens", "output_tokens", "total_tokens"}))
def test_the_names_of_our_clients_apis_are_left_out(name):
    report = read_ui_usage({**COUNTS, name: {"cached_tokens": 5000}, "credits": 1})
    assert report is not None
    assert report.extra == {"credits": 1}


def test_what_the_website_counts_beside_that_stays():
    report = read_ui_usage({**COUNTS, "cost": 0.1, "inputTokenDetails": {"cacheReadTokens": 4, "noCacheTokens": 5}, "reasoningTokens": 2})
    assert report is not None
    assert (report.cached_tokens, report.reasoning_tokens) == (4, 2)
    assert report.extra == {"cost": 0.1, "inputTokenDetails": {"noCacheTokens": 5}}
