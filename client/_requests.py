"""The requests of one attachment: their numbers, and what is unanswered. Pure.

A number is given once. A request keeps its number however often it is sent, and `answered` in each
message tells the journal what it need not keep any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from ..protocol import codec
from ..protocol.classes import dataclass, field
from ..protocol.host_answers import Answer, Answered
from ..protocol.host_requests import Ask, EventRef, Request
from ..protocol.limits import ANSWER_PART_BYTES, MIB, PAGE_MAX

# A whole answer: the largest event is a cell's whole output and the arguments of its open calls.
ANSWER_BYTES_MAX: Final = 256 * MIB
_PARTS_MAX: Final = ANSWER_BYTES_MAX // ANSWER_PART_BYTES


@dataclass(slots=True)
class _Unanswered:
    ask: Ask
    acknowledged: tuple[EventRef, ...]
    parts_total: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)


class RequestBook:
    """What this attachment has asked and has no answer to, in the order of the numbers."""

    def __init__(self) -> None:
        self._next = 1
        self._unanswered: dict[int, _Unanswered] = {}
        self._received: deque[EventRef] = deque()

    def __len__(self) -> int:
        return len(self._unanswered)

    def __contains__(self, number: int) -> bool:
        return number in self._unanswered

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._unanswered))

    def take_number(self) -> int:
        """A number for a message that is not answered, or not answered here."""
        self._next += 1
        return self._next - 1

    def add(self, ask: Ask) -> int:
        """The number of a new request, which takes along what was received meanwhile."""
        number = self.take_number()
        count = min(len(self._received), PAGE_MAX)
        acknowledged = tuple(self._received.popleft() for _ in range(count))
        self._unanswered[number] = _Unanswered(ask, acknowledged)
        return number

    def drop(self, number: int) -> bool:
        """Count a request as answered; whether it was not."""
        return self._unanswered.pop(number, None) is not None

    def acknowledge(self, event: EventRef) -> None:
        """Tell, with the next request, that this event was received."""
        self._received.append(event)

    def ask_of(self, number: int) -> Ask:
        """What an unanswered request asks."""
        return self._unanswered[number].ask

    @property
    def oldest(self) -> int | None:
        """The unanswered request that was asked first."""
        return next(iter(self._unanswered), None)

    def message(self, number: int, attachment: int) -> Request:
        """An unanswered request as it is sent, now or again."""
        waiting = self._unanswered[number]
        return self.single(number, attachment, waiting.ask, waiting.acknowledged)

    def single(
        self, number: int, attachment: int, ask: Ask, acknowledged: tuple[EventRef, ...] = ()
    ) -> Request:
        """A message whose answer this book does not wait for."""
        oldest = self.oldest
        answered = number if oldest is None else min(oldest, number)
        return Request(attachment, number, answered, acknowledged, ask)

    def joined(self, message: Answered) -> Answer | None:
        """The whole answer, once its last part is here.

        Raises:
            BadFrame: the parts make no answer.
        """
        waiting = self._unanswered.get(message.number)
        if waiting is None:
            return None
        if not 1 <= message.part <= message.parts <= _PARTS_MAX:
            raise codec.BadFrame(f"part {message.part} of {message.parts} of an answer")
        if waiting.parts_total != message.parts:  # a repeated answer may be cut up differently
            waiting.parts_total = message.parts
            waiting.parts.clear()
        waiting.parts[message.part] = message.content
        if len(waiting.parts) < message.parts:
            return None
        body = b"".join(waiting.parts[part] for part in range(1, message.parts + 1))
        return unpack_answer(body)


def unpack_answer(body: bytes) -> Answer:
    """An answer from its bytes.

    Raises:
        BadFrame: the bytes are not one.
    """
    answer: Answer = codec.unpack_body(body, codec.ANSWER, ANSWER_BYTES_MAX)
    return answer
