"""Text of marker fragments without any sense, as hypothesis strategies: what no model should write and every machine must survive."""

from hypothesis import strategies as st

from tests.machine.notation import B, E, S, b, e

FRAGMENTS = st.sampled_from(
    [
        *(B, b, S, e, E),
        *("<|final|>", "<｜/final｜>", "</think>", "<", "<|", "<|tool_", "|>", "\n", "\r\n", " "),
        *("Write", "Read", "content", "path", "mode", "function", "{", "}", '"', "```json", '{"name":"Read","arguments":{', "(", "é", "𝄞"),
    ]
)
PROSE = st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=40)
ANYTHING = st.lists(FRAGMENTS | PROSE, max_size=25).map("".join)
EDGES = st.lists(st.integers(0, 400), max_size=12)
