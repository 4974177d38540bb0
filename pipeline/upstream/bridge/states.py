"""The states of a run, and what leads from one to the next.

A run of the SDK's agent goes on over several requests of a client: each time that its model calls tools it is parked, until the next request brings
their results. `TRANSITIONS` is the whole of it: state -> what happens -> the next state. What a state has no row for cannot happen there, and is a
fault of ours (`pipeline.upstream.bridge.run` has the code). The documents' picture is drawn from this table.
"""

from enum import Enum, auto


class State(Enum):
    """Where a run stands."""

    STARTING = auto()
    """The agent is being made, or is made and has said nothing."""

    STREAMING = auto()
    """The model writes, and a client reads."""

    GATHERING = auto()
    """A tool is called; others may be called beside it."""

    PARKED = auto()
    """The calls have left with an answer, and the run waits for their results. Nobody reads."""

    CONTINUING = auto()
    """The results are here, and the model has said nothing since."""

    FINISHED = auto()
    """The run came to its own end, a good one or not."""

    ABANDONED = auto()
    """Nobody wants it any more: it is cancelled."""

    LOST = auto()
    """The bridge or the run's stream ended under it."""


SAID = "the model says more"
CALLED = "a tool is called"
QUIET = "nothing more for a moment"
RESULTS = "the next request brings the results"
ENDED = "the run ends"
LEFT = "the client leaves"
WITHDRAWN = "the bridge withdraws its calls"
UNANSWERED = "no results in time"
SUPERSEDED = "the conversation goes on otherwise"
UNTOLD = "its calls do not reach the client"
CROWDED_OUT = "too many runs wait"
BROKEN = "the bridge ends"
STOPPED = "the gateway stops"

_ENDS = {BROKEN: State.LOST, STOPPED: State.ABANDONED}
_READ = {SAID: State.STREAMING, CALLED: State.GATHERING, ENDED: State.FINISHED, LEFT: State.ABANDONED, **_ENDS}

# state -> what happens -> the next state; the documents' diagram is drawn from this table
TRANSITIONS: dict[State, dict[str, State]] = {
    State.STARTING: _READ,
    State.STREAMING: _READ,
    State.GATHERING: {**_READ, SAID: State.GATHERING, QUIET: State.PARKED, WITHDRAWN: State.STREAMING},
    State.PARKED: {
        CALLED: State.PARKED,
        RESULTS: State.CONTINUING,
        WITHDRAWN: State.ABANDONED,
        UNANSWERED: State.ABANDONED,
        SUPERSEDED: State.ABANDONED,
        UNTOLD: State.ABANDONED,
        CROWDED_OUT: State.ABANDONED,
        **_ENDS,
    },
    State.CONTINUING: _READ,
    State.FINISHED: {},
    State.ABANDONED: {},
    State.LOST: {},
}

OVER = frozenset(state for state, ways in TRANSITIONS.items() if not ways)
"""States that a run does not leave."""
