"""Tool calls that wait for somebody's decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ..protocol import ids, values
from ..protocol.host_answers import Done, OpenCall
from ..protocol.host_requests import CallRef, FinishCall, RunAgain
from ..protocol.limits import TEXT_BYTES_MAX
from ..protocol.packed import InputKind
from . import _asks
from ._tools import bounded

if TYPE_CHECKING:
    from ._opening import Opening


@dataclass(frozen=True, slots=True)
class AsyncCallInfo:
    """A call without a result: its host ended while it ran, or its tool is external.

    Attributes:
        key: unique among all calls.
        unknown: it was given to a host, so it may have taken effect.
    """

    key: str
    tool: str
    arguments: Any
    unknown: bool
    _opening: Opening = field(repr=False, compare=False)

    @classmethod
    def of(cls, opening: Opening, call: OpenCall) -> Self:
        """The call as its session lists it."""
        key = ids.call_key(call.call.cell, call.call.number)
        arguments = values.decode(call.arguments, "arguments")
        return cls(key, call.tool, arguments, call.unknown, opening)

    async def finish(self, value: Any) -> None:
        """Give the cell this result; plain data. In the journal when this returns."""
        content = _asks.plain(value, "value")
        await self._say(FinishCall(self._ref, InputKind.RESULT, content, "", cancelled=False))

    async def fail(self, message: str) -> None:
        """Give the cell a `ToolError` with this text."""
        text = bounded(str(message), TEXT_BYTES_MAX)
        await self._say(FinishCall(self._ref, InputKind.ERROR, b"", text, cancelled=False))

    async def run_again(self) -> None:
        """Offer the call to the session's holder once more, as a new attempt."""
        await self._say(RunAgain(self._ref))

    async def _say(self, ask: FinishCall | RunAgain) -> None:
        await (await self._opening.opened()).ask(Done, ask)

    @property
    def _ref(self) -> CallRef:
        return CallRef(*ids.parse_call_key(self.key))
