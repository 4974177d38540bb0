"""The other fields of a body (N6, N11): what stays, what is mapped, what reaches no upstream."""

import pytest

from tests.support.cursor_bodies import HELLO, normalised, parse, refused

DROPPED = {
    **{"store": False, "include": ["reasoning.encrypted_content"], "truncation": "auto", "prompt_cache_retention": "24h", "service_tier": "auto"},
    **{"user": "u", "background": False, "conversation": "conv_1", "safety_identifier": "s", "anthropic_version": "2023-06-01", "top_k": 5},
    **{"previous_response_id": "resp_1", "metadata": {"x": "y"}, "max_tool_calls": 3, "client_metadata": {"a": 1}, "prompt": {"id": "p"}},
    **{"context_management": [], "anthropic_beta": ["b"], "betas": ["b"], "container": "c", "mcp_servers": [], "thinking": {"type": "disabled"}},
    **{"output_config": {"effort": "low"}, "inference_geo": "us"},
}


@pytest.mark.parametrize("name", DROPPED, ids=[f"{'N6' if name == 'previous_response_id' else 'N11 drop'} {name}" for name in DROPPED])
def test_dropped(name):
    found = normalised(messages=[HELLO], **{name: DROPPED[name]})
    assert (found.fields, found.ignored, found.notices) == ({"messages": [HELLO]}, (name,), ())
    request = parse(messages=[HELLO], **{name: DROPPED[name]})
    assert (request.extra, request.ignored) == ({}, (name,))


def test_n11_drop_all_at_once_in_the_order_sent():
    assert set(normalised(messages=[HELLO], **DROPPED).ignored) == DROPPED.keys()


def test_n11_drop_any_null():
    nothing = dict.fromkeys([*DROPPED, "temperature", "tools", "stop_sequences", "reasoning", "unknown", "stream", "stream_options", "system"])
    found = normalised(messages=[HELLO], **nothing)
    assert (found.fields, found.ignored) == ({"messages": [HELLO]}, ())


KEPT = {
    "N11 map max_tokens": {"max_tokens": 9},
    "N11 map max_completion_tokens": {"max_completion_tokens": 9},
    "N11 map max_output_tokens": {"max_output_tokens": 9, "max_tokens": 7},
    "N11 map verbosity": {"text": {"verbosity": "low"}},
    "N11 map format": {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
    "N11 map effort": {"reasoning": {"effort": "high", "summary": "auto"}},
    "N11 map effort minimal": {"reasoning_effort": "minimal"},
    "N11 map stop": {"stop": ["END"]},
    "N11 map the client's own key of a cache": {"prompt_cache_key": "k", "verbosity": "low"},
    "N11 what nobody reads": {"temperature": 0, "logit_bias": {"1": 0}, "unknown": {"a": None}},
}


@pytest.mark.parametrize("fields", KEPT.values(), ids=KEPT)
def test_kept(fields):
    found = normalised(messages=[HELLO], **fields)
    assert (found.fields, found.ignored) == ({"messages": [HELLO], **fields}, ())


def test_n11_map_is_read():
    fields = {"max_output_tokens": 9, "reasoning": {"effort": "high"}, "text": {"format": {"type": "json_object"}, "verbosity": "low"}}
    options = parse(input="hi", **fields).options
    assert (options.max_tokens, options.reasoning_effort, options.answer_format.kind, options.verbosity) == (9, "high", "json_object", "low")


NO_EFFORT = {
    "N11 map effort none": ({"reasoning": {"effort": "none"}}, ("reasoning",)),
    "N11 map effort none with a summary": ({"reasoning": {"effort": "none", "summary": "auto"}}, ("reasoning",)),
    "N11 map effort none in Chat's field": ({"reasoning_effort": "none"}, ("reasoning_effort",)),
    "N11 map effort none overrules": ({"reasoning_effort": "none", "reasoning": {"effort": "high"}}, ("reasoning_effort", "reasoning")),
}


@pytest.mark.parametrize(("fields", "ignored"), NO_EFFORT.values(), ids=NO_EFFORT)
def test_no_effort(fields, ignored):
    found = normalised(messages=[HELLO], **fields)
    assert (found.fields, found.ignored) == ({"messages": [HELLO]}, ignored)
    options = parse(messages=[HELLO], **fields).options
    assert (options.reasoning_effort, options.reasoning) == (None, False)


THINKING = {
    "N11 map thinking": ({"thinking": {"type": "enabled"}}, {"enabled": True}, ()),
    "N11 map thinking with a budget": ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"enabled": True}, ("thinking.budget_tokens",)),
    "N11 map thinking adaptive": ({"thinking": {"type": "adaptive", "display": "omitted"}}, {"enabled": True}, ("thinking.display",)),
    "N11 map thinking disabled": ({"thinking": {"type": "disabled"}}, None, ("thinking",)),
    "N11 map thinking of another form": ({"thinking": True}, None, ("thinking",)),
    "N11 map thinking beside reasoning": (
        {"thinking": {"type": "enabled", "budget_tokens": 1}, "reasoning": {"effort": "low"}},
        {"effort": "low"},
        ("thinking",),
    ),
    "N11 map thinking beside no effort": ({"thinking": {"type": "enabled"}, "reasoning": {"effort": "none"}}, None, ("reasoning", "thinking")),
}


@pytest.mark.parametrize(("fields", "reasoning", "ignored"), THINKING.values(), ids=THINKING)
def test_thinking(fields, reasoning, ignored):
    found = normalised(messages=[HELLO], **fields)
    assert (found.fields.get("reasoning"), found.ignored, "thinking" in found.fields) == (reasoning, ignored, False)
    request = parse(messages=[HELLO], **fields)
    assert (request.options.reasoning, "thinking" in request.extra) == (reasoning is not None, False)


STOPS = {
    "N11 map stop_sequences": ({"stop_sequences": ["a", "b"]}, ["a", "b"], ()),
    "N11 map stop_sequences beside stop": ({"stop": "a", "stop_sequences": ["b"]}, "a", ("stop_sequences",)),
    "N11 map stop_sequences that say the same": ({"stop": ["a"], "stop_sequences": ["a"]}, ["a"], ()),
}


@pytest.mark.parametrize(("fields", "stop", "ignored"), STOPS.values(), ids=STOPS)
def test_stop(fields, stop, ignored):
    found = normalised(messages=[HELLO], **fields)
    assert (found.fields["stop"], found.ignored) == (stop, ignored)


METADATA = {
    "N11 map conversation": ({"cursorConversationId": "c-1"}, "c-1", ()),
    "N11 map conversation beside others": ({"cursorConversationId": "c-1", "x": 1}, "c-1", ("metadata",)),
    "N11 map conversation of another type": ({"cursorConversationId": 7}, None, ("metadata",)),
    "N11 map conversation empty": ({"cursorConversationId": ""}, None, ("metadata",)),
    "N11 map conversation in no object": ("c-1", None, ("metadata",)),
    "N11 map no conversation": ({}, None, ()),
}


@pytest.mark.parametrize(("metadata", "conversation", "ignored"), METADATA.values(), ids=METADATA)
def test_conversation(metadata, conversation, ignored):
    found = normalised(messages=[HELLO], metadata=metadata)
    assert (found.conversation, found.ignored) == (conversation, ignored)
    assert parse(messages=[HELLO], metadata=metadata).conversation == conversation


STREAMS = {
    "N11 stream": ({"stream": True}, True, ()),
    "N11 stream without usage": ({"stream": True, "stream_options": {"include_usage": False}}, True, ()),
    "N11 stream with more": (
        {"stream": True, "stream_options": {"include_obfuscation": False, "x": None}},
        True,
        ("stream_options.include_obfuscation",),
    ),
    "N11 stream of another form": ({"stream": True, "stream_options": "usage"}, True, ("stream_options",)),
    "N11 no stream": ({"stream": False, "stream_options": {"include_usage": True}}, False, ()),
    "N11 stream absent": ({"stream_options": {}}, False, ()),
}


@pytest.mark.parametrize(("fields", "has_usage", "ignored"), STREAMS.values(), ids=STREAMS)
def test_stream(fields, has_usage, ignored):
    found = normalised(messages=[HELLO], **fields)
    assert found.fields.get("stream_options") == ({"include_usage": True} if has_usage else None)
    assert found.ignored == ignored
    assert parse(messages=[HELLO], **fields).include_usage is has_usage


def test_n11_a_stream_of_another_type_is_refused():
    assert refused(messages=[HELLO], stream="yes").param == "stream"


def test_n11_stop_sequences_of_another_type_are_refused_by_their_own_name():
    assert refused(messages=[HELLO], stop_sequences=[3]).param == "stop_sequences[0]"
