"""Which input a cell may take when: the worker's half of the law of frontiers.

A plain object without I/O, clock or threads, so that a simulator can drive it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.packed import CellKind, PackedInput, Stepping
from ..protocol.worker_messages import Confirmed, Continue, EarlierLife, Paused, Waited


class Steps:
    """The cell's inputs and its gate.

    A pausable cell is paused at a generation or runs a step that may take inputs up to `upto`; its
    first step may take none. A continuing cell may always take the next one.

    Attributes:
        generation: the last frontier that was reached; 0 before the first.
        left: the last generation that was continued; 0 before the first.
        taken: the last input that was handed to the cell.
        received: the last input up to which all have arrived.
    """

    def __init__(self, kind: CellKind, stepping: Stepping = Stepping.DRAIN) -> None:
        self.kind = kind
        self.stepping = stepping
        self.generation = 0
        self.left = 0
        self.upto = 0
        self.taken = 0
        self.received = 0
        self._inbox: dict[int, PackedInput] = {}
        self._confirmed: Confirmed | None = None
        self._moved = True  # something happened since the last Waited
        self._own_since_input = False
        self._own_ends_step = False
        self._relives_upto = -1
        self._relived = -1

    def relive(self, earlier: EarlierLife) -> None:
        """The cell has lived before: begin where those lives will end.

        The inputs that they took are taken freely: to the cell's code a pause is nothing.
        """
        self.generation = earlier.generation
        self.left = earlier.left
        self.upto = earlier.upto
        self._relives_upto = earlier.taken

    @property
    def is_paused(self) -> bool:
        """Whether the cell stands at a frontier."""
        return self.generation > self.left

    @property
    def is_open(self) -> bool:
        """Whether anything from outside the cell's own code may move it now."""
        return self.kind is CellKind.CONTINUING or self.generation == self.left > 0

    def deliver(self, inputs: Iterable[PackedInput]) -> None:
        """Keep inputs until their turn. Repeats are dropped; the order of arrival is free."""
        for item in inputs:
            if item.number > self.received:
                self._inbox[item.number] = item
        while self.received + 1 in self._inbox:
            self.received += 1

    def continue_(self, message: Continue) -> Confirmed:
        """Leave the frontier; the answer must be said before the cell moves.

        For a generation that was left before, nothing moves and the answer is the same again.

        Raises:
            ValueError: the cell was never at this frontier, or the step could take no input.
        """
        if not 1 <= message.generation <= self.generation:
            raise ValueError(
                f"Continue of generation {message.generation}; the cell has reached"
                f" {self.generation}"
            )
        confirmed = Confirmed(
            message.generation, message.upto, message.request, message.acknowledged
        )
        if message.generation == self.generation > self.left and message.upto <= self.taken:
            raise ValueError(f"Continue up to input {message.upto}; {self.taken} were taken before")
        self.deliver(message.inputs)
        if message.generation < self.left:
            return confirmed
        if message.generation == self.left and self._confirmed is not None:
            return self._confirmed
        self.left = message.generation
        self.upto = message.upto
        self._moved = True
        self._own_since_input = self._own_ends_step = False
        self._confirmed = confirmed
        return confirmed

    @property
    def has_input(self) -> bool:
        """Whether an input is here that the cell may take now."""
        return self._may_take and self.taken + 1 in self._inbox

    @property
    def _may_take(self) -> bool:
        return self.is_open and (self.kind is CellKind.CONTINUING or self.taken < self.upto)

    def relived_wait(self, next_timer_ns: int | None) -> Waited | None:
        """What an earlier life may have said at this point, where the next input is here already.

        To be called before `next_input`; without it nobody could tell what came before an input.
        """
        if not self._relived < self.taken <= self._relives_upto or not self.has_input:
            return None
        self._relived = self.taken
        return Waited(self.taken, next_timer_ns, ())

    def next_input(self) -> PackedInput | None:
        """The input that the cell takes now, or None if it may take none or none is here."""
        if not self.has_input:
            return None
        self.taken += 1
        self._moved = True
        self._own_since_input = False
        return self._inbox.pop(self.taken)

    @property
    def takes_own_work(self) -> bool:
        """Whether what comes from the cell's own threads and sockets may be handed over now.

        It takes turns with inputs, and a step that has no other input ends with it.
        """
        if not self._may_take or (self._own_ends_step and self.kind is CellKind.PAUSABLE):
            return False
        return not (self._own_since_input and self.has_input)

    def own_work_taken(self) -> None:
        """Own work has been handed over."""
        self._moved = True
        self._own_ends_step = not self.has_input
        self._own_since_input = True

    def idle(self, next_timer_ns: int | None, own_work: tuple[str, ...]) -> Paused | Waited | None:
        """The cell's loop has nothing ready and there is no input for it: what is to be said.

        None: it has been said. To be called after `next_input` has returned None.
        """
        if self.is_paused:
            return None
        if self.kind is CellKind.PAUSABLE and (not self._may_take or self._own_ends_step):
            self.generation += 1
            return Paused(self.generation, self.taken, next_timer_ns, own_work)
        if not self._moved:
            return None
        self._moved = False
        return Waited(self.taken, next_timer_ns, own_work)
