"""What each Notice code means, in a sentence for the person who finds it in a header or a log line.

A Notice says that something was repaired, dropped or passed through by a policy (`pipeline.events.Notice`). Its detail is about the case at hand, and
the sentence here holds for all of them. The stages name codes in place and do not read this table. A test reads their source and compares: every code
that is said has a row, and every row is a code that is said. The documents print it.

>>> NOTICES["parallel_call_dropped"]
'the request said `parallel_tool_calls: false`, and a call behind the first one was left out'
"""

from collections.abc import Mapping
from types import MappingProxyType

NOTICES: Mapping[str, str] = MappingProxyType(
    {
        # -- tool calls and thinking in the model's text
        "argument_dropped": "an argument that the client's tool does not have was left out, because a table says so or the call came by an alias",
        "argument_repeated": "an argument was given twice; the first one stays",
        "argument_type": "an argument is not of the type that the client's schema asks for, and was passed on as it is (raw text as a string)",
        "call_cut": "the answer ended inside a call; the call was not completed and must not be run",
        "call_id_repeated": "a native call came with the id of an earlier one, and got an id of its own",
        "call_in_thinking": "a call stood in the thinking, before the answer had begun; it was taken as a call",
        "call_repaired": "the end marker of a call or of a block was missing where its end is plain; the end was supplied",
        "call_without_tools": "a call came although the client offered no tools; `tools.without_tools` says what becomes of it",
        "empty_answer": "the model thought and gave no visible answer",
        "hidden_prefix_dropped": "what stood in the text before the answer's token was left out; `hidden_prefix_hold_chars` says how much may be",
        "malformed_call": "a call, or something that began like one, could not be read, wholly or in part; the detail says what became of it",
        "marker_kept": "a tool marker stood where it means nothing, and was kept as the text that it is",
        "parallel_call_dropped": "the request said `parallel_tool_calls: false`, and a call behind the first one was left out",
        "tool_renamed": "the model called the tool by a name of another client, which is the same tool",
        "unknown_argument": "an argument that the tool's schema does not know was passed on",
        "unknown_tool": "a call of a tool that the client did not offer; `tools.unknown` says what becomes of it",
        "custom_argument_dropped": "a custom tool takes one input, and what the model wrote beside it was left out",
        "custom_input_as_is": "the model did not wrap a custom tool's input as it was asked to; its arguments were passed on as raw text",
        "custom_input_repaired": "a custom tool's input was not the JSON that it should be, and was read as the text that it is",
        # -- what the answer should have been
        "json_fence_removed": "the answer was to be JSON, and the code fence around it was removed",
        "response_format_unchecked": "the answer is too large to be held against its schema, and was passed on as it is",
        "response_format_unsatisfied": "the answer is not what `response_format` asked for",
        "tool_choice_unsatisfied": "`tool_choice` asked for a call, and the model made none",
        # -- what the upstream sent
        "annotation_dropped": "the upstream named sources of its text; they were left out",
        "contradictory_text": "the upstream told a text of its answer twice, and not the same; what it told first stays",
        "output_item_dropped": "the upstream's answer held an item that is no text, reasoning or call, such as the record of a search that it ran",
        "duplicate_call_id": "a call had the id of an earlier one, of the answer or of the history, and got an id of its own",
        "extra_choices": "the upstream sent several answers; only the first one is passed on",
        "invalid_arguments": "the upstream sent a call whose arguments are not valid JSON; they were passed on as they are",
        "invalid_utf8": "bytes that are no UTF-8, such as half a character at the end of a field, were left out",
        "late_arguments": "arguments that came behind their call's end were left out",
        "mended_text": "bytes or escapes that are no characters were replaced by U+FFFD",
        "nameless_call": "a call without a name was left out",
        "native_call_unreadable": "a native call that cannot be decoded, or has no name, was left out",
        "signature_dropped": "the signature of the model's reasoning was too long and was left out: the reasoning cannot be sent back",
        "no_finish_reason": "the upstream ended its answer without saying why",
        "unknown_finish_reason": "the upstream gave a reason for the end that is not known here",
        "unreadable_content": "content that is no text was left out",
        "agent_tool": "the SDK's agent used a tool of its own, which the gateway neither offered nor ran",
        "turn_paused": "the upstream paused among tools that it runs itself; it goes on when it is sent the conversation with its answer",
        "run_usage": "the usage that the SDK measured is that of a run which answered several requests, and is not shown as the last one's",
        "call_withdrawn": "the SDK's agent gave up a call that it had made, before the client was given it",
        "text_with_results": "a user's text behind the results was given to the SDK's run with them, since a waiting run takes nothing but results",
        "run_replayed": "the SDK's run that had called the tools could not go on, and a fresh agent was told the whole conversation",
        # -- what the client asked for
        "empty_stop": "an empty `stop` text would end every answer at once, and was left out",
        "flat_tools": "tools in the form of the Responses API were read as those of Chat Completions",
        "hosted_tool_ignored": "a tool that only its provider can run was left out",
        "legacy_functions": "`functions` and `function_call` were read as `tools` and `tool_choice`",
        "orphan_tool_result": "a tool's result answers no call in the history; it was kept where it stands",
        "shown_reasoning_removed": "reasoning that an earlier answer showed as text was taken out of the history",
        "tool_call_unanswered": "a call in the history has no result; it was kept as it is",
        "tool_results_moved": "a tool's result that did not stand behind its call was put there; the messages are otherwise in the order sent",
        "arguments_repaired": "arguments in the history were no JSON object, as those of a cut call; they became one, with their text in it",
        "call_id_rewritten": "an id of a tool call that some upstreams refuse was replaced, in the call and in its result",
        "history_item_dropped": "something in the history that no chat upstream can be given (reasoning, a provider's own tool, …) was left out",
        "tool_choice_dropped": "`tool_choice` asked for a tool that was left out; the model chooses",
        "tool_name_unreadable": "a tool has a name that no call in a model's text can hold, such as one with a space; its calls may stay text",
        "tool_repeated": "a tool was offered twice under one name; the first one stays",
        "tool_result_as_text": "a tool's result answers no call in the history; it became text of the user's, with its id",
        "tool_result_repeated": "a call in the history has several results; they became one",
        "tool_result_supplied": "a call in the history has no result; one that says so was put behind it",
        "encrypted_reasoning_dropped": "reasoning in the history that only another server can read was left out",
        # -- what the upstream does not take
        "context_trimmed": "the conversation was longer than the model's window, and its oldest turns were left out",
        "field_not_forwarded": "a field of the request was not sent to the upstream",
        "image_not_fetched": "an image that is a web address was not looked at: the embedded demo uses no network",
        "reasoning_dropped": "reasoning in the history was not sent, since the upstream takes none",
        "reasoning_effort_dropped": "`reasoning_effort` was not sent, since the upstream takes none",
        "system_messages_joined": "the system messages were made one, in front, since the upstream's profile says that its models take no other",
        "tool_images_moved": "images in the results of tools were put into a user's message behind them, where Chat Completions allow them",
        "images_moved": "images and documents of the system or the assistant were put into a user's message, where the upstream takes them",
        "call_name_rewritten": "a tool's name in the history that the upstream refuses was replaced in its calls",
        "system_message_as_user": "a system message between the others became text of the user's, since the upstream takes none there",
        "thinking_left_out": "the model was not asked to think, since the upstream would refuse the request; the detail says why",
        "trailing_space_removed": "white space at the end of an assistant's message was left out, since the upstream does not continue such a one",
        "asked_again": "the first answer did not keep what the request promised its client, and was asked for a second time",
        # -- what the route and the server did
        "fast_suffix_ignored": "the model's id ended in `-fast`, which names no other model here",
        "overflow_signalled": "the conversation did not fit, and Cursor was told so by a usage beyond the window",
        "prefill_continued": "the conversation ended with the assistant's turn, and a user's was put behind it, since the route says `no_prefill`",
        "response_not_kept": "the response was to be stored, and was not: the store is off, or it has no room for the response",
        "token_limit_raised": "the limit of the answer's length was raised to the route's `min_output_tokens`",
    }
)
