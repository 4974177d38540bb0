"""Text that is full of markers, labels and pieces of them, as hypothesis strategies."""

from hypothesis import strategies as st

from pipeline.prompt.neutral import LINE_ENDS

BARS = st.sampled_from("|｜")
SCORES = st.sampled_from("_▁")
SPACES = st.text(" \t\n\r\u00a0\u3000", max_size=16)
WORDS = st.sampled_from([("tool", "calls", "begin"), ("tool", "calls", "end"), ("tool", "call", "begin"), ("tool", "call", "end"), ("tool", "sep")])


@st.composite
def markers(draw):
    """Any spelling of any marker or token of the grammar."""
    if draw(st.booleans()):
        words = draw(WORDS)
        name = words[0] + "".join(draw(SCORES) + word for word in words[1:])
    else:
        name = draw(st.sampled_from(["final", "/final", ""]))
    marker = f"<{draw(SPACES)}{draw(BARS)}{draw(SPACES)}{name}{draw(SPACES)}{draw(BARS)}{draw(SPACES)}>" if name else "</think>"
    return "".join(letter.upper() if draw(st.booleans()) else letter for letter in marker)


LABELS = st.sampled_from(["USER:", "TOOL (a, b): ", "SYSTEM:", "ASSISTANT (x):", "OUTPUT RULES:", "[called f"])
LINES = st.sampled_from([*LINE_ENDS, "\r\n"])
FRAGMENTS = st.sampled_from(["<", "|", "｜", "\\", "tool_", "sep", "final", ">", "think", "/", "USER", ":", " "]) | st.text(max_size=4)
HOSTILE = st.lists(markers() | LABELS | LINES | FRAGMENTS, max_size=8).map("".join)
