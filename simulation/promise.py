"""What Tidemark promises, in words; every check of the simulator is named by one of these."""

from __future__ import annotations

from enum import StrEnum


class Promise(StrEnum):
    """A promise. `docs/TESTING.md` has the same list."""

    # Resumes and frontiers
    KEPT = "An acknowledged resume is never undone"
    CONSUMED = "No generation is consumed twice"
    GENERATIONS = "Generations never go back"
    SAME = "A frontier once shown never changes, nor does any other event"
    ONE_RESUMED = "Of the resumes of one generation, exactly one is Resumed"
    CONFIRMED = "A frontier is consumed only after the worker has confirmed Continue"
    NAMED = "A resume leaves the generation that it names"
    STEPS = "One resume takes the inputs that were queued, or the first that came"
    TRUE_STATE = "AlreadyRunning tells the truth"
    ORDERED = "A frontier lists its calls in numeric order"

    # Output and events
    OUTPUT = "No output comes twice, and none is missing"
    CARRIED = "An event carries what no acknowledged event carried, and all of it"
    RISING = "Event numbers rise by one"
    BACK = "What a handle is given never goes back"
    NOTICES = "Notifications come in order, and none is missing"

    # Tools and inputs
    CALLS = "No tool runs twice because of us, and its result is taken once"
    UNKNOWN = "Only when its attachment has ended is a call's outcome unknown"
    NUMBERED = "Inputs are numbered one after the other, and never change"
    IN_ORDER = "A cell takes its inputs in their order"

    # Ends and stored values
    WRITES = "A terminated cell's writes never appear; a completed one's appear all together"
    WHOLE = "A cell sees one version of the stored values"
    VALUE_KEPT = "A stored value is kept"
    ENDED = "A cell ends once, and nothing happens to it afterwards"
    END_TOLD = "terminate answers with the end, close after all ends have been told"

    # Requests
    ONCE = "A repeated request acts once"
    SAME_ANSWER = "A repeated request gets the same answer"
    TOLD = "What a host was told is in the journal"
    CREATED = "A created cell is never forgotten"
    REFUSED = "An honest host is refused only for what can really be"

    # Processes
    LIVES = "No two lives of a cell bear the same number, and only the last one counts"
    ONE_CELL = "No worker is ever used for two cells"
    SAME_AGAIN = "A cell that is run again says what it has said before"
    COUNTED = "A loss counts against a cell only if its own worker ended by itself"
    HONEST = "No honest worker is given up while it lives"
    BELIEVABLE = "A worker never hears what cannot be"
    NONE_LEFT = "No worker is left of a cell that has ended"
    UNHARMED = "A cell ends as if nothing had happened"
    LIVENESS = "In the end every request is answered and every cell has ended"


class PromiseBroken(AssertionError):
    """A promise that did not hold, with the evidence.

    Attributes:
        promise: which one.
    """

    def __init__(self, promise: Promise, detail: str, cell: str = "") -> None:
        self.promise = promise
        super().__init__(f"{promise}: {cell} {detail}" if cell else f"{promise}: {detail}")
