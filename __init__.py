"""Tidemark: a durable runtime for cells of Python.

Names are imported when they are first used: workers and supervisors import this package too, and
must not pay for what only hosts need.
"""

from __future__ import annotations

TYPE_CHECKING = False  # checkers know it; `typing` is not here before something is used
if TYPE_CHECKING:
    from typing import Any, Final

    from .client._aio import AsyncSession
    from .client._aio_calls import AsyncCallInfo
    from .client._aio_cells import AsyncCell, AsyncPausableCell
    from .client._aio_client import AsyncClient, connect_async
    from .client._blocking import Client, Session, connect
    from .client._blocking_cells import CallInfo, Cell, PausableCell
    from .client._failures import WaitTimeoutError
    from .client._running import current_call
    from .client._tools import Tool
    from .client._values import (
        CellEvent,
        CellInfo,
        CurrentCall,
        HistoryEntry,
        Notification,
        SessionInfo,
        Status,
        SupervisorInfo,
    )
    from .protocol.errors import (
        BusyObserverError,
        CellClosedError,
        CellNotFoundError,
        IdempotencyConflictError,
        InvalidGenerationError,
        IsolationUnavailableError,
        JournalError,
        LimitExceededError,
        ProtocolError,
        ReplayDivergedError,
        ResumeUnconfirmedError,
        SessionHeldError,
        SessionTakenError,
        ShuttingDownError,
        SupervisorUnavailableError,
        TidemarkError,
        ToolError,
        WorkerLostError,
        WrongCellKindError,
    )
    from .protocol.frontier import (
        AlreadyRunning,
        Completed,
        Event,
        Frontier,
        Image,
        OutputItem,
        Pending,
        Resumed,
        Terminated,
        Text,
        ToolCall,
        Yielded,
    )
    from .protocol.limits import Limits

__version__ = "0.1.0"

_MODULES: Final = {
    "client._aio": ("AsyncSession",),
    "client._aio_calls": ("AsyncCallInfo",),
    "client._aio_cells": ("AsyncCell", "AsyncPausableCell"),
    "client._aio_client": ("AsyncClient", "connect_async"),
    "client._blocking": ("Client", "Session", "connect"),
    "client._blocking_cells": ("CallInfo", "Cell", "PausableCell"),
    "client._failures": ("WaitTimeoutError",),
    "client._running": ("current_call",),
    "client._tools": ("Tool",),
    "client._values": (
        "CellEvent",
        "CellInfo",
        "CurrentCall",
        "HistoryEntry",
        "Notification",
        "SessionInfo",
        "Status",
        "SupervisorInfo",
    ),
    "protocol.errors": (
        "BusyObserverError",
        "CellClosedError",
        "CellNotFoundError",
        "IdempotencyConflictError",
        "InvalidGenerationError",
        "IsolationUnavailableError",
        "JournalError",
        "LimitExceededError",
        "ProtocolError",
        "ReplayDivergedError",
        "ResumeUnconfirmedError",
        "SessionHeldError",
        "SessionTakenError",
        "ShuttingDownError",
        "SupervisorUnavailableError",
        "TidemarkError",
        "ToolError",
        "WorkerLostError",
        "WrongCellKindError",
    ),
    "protocol.frontier": (
        "AlreadyRunning",
        "Completed",
        "Event",
        "Frontier",
        "Image",
        "OutputItem",
        "Pending",
        "Resumed",
        "Terminated",
        "Text",
        "ToolCall",
        "Yielded",
    ),
    "protocol.limits": ("Limits",),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES} - {"TYPE_CHECKING"})


__all__ = [
    "AlreadyRunning",
    "AsyncCallInfo",
    "AsyncCell",
    "AsyncClient",
    "AsyncPausableCell",
    "AsyncSession",
    "BusyObserverError",
    "CallInfo",
    "Cell",
    "CellClosedError",
    "CellEvent",
    "CellInfo",
    "CellNotFoundError",
    "Client",
    "Completed",
    "CurrentCall",
    "Event",
    "Frontier",
    "HistoryEntry",
    "IdempotencyConflictError",
    "Image",
    "InvalidGenerationError",
    "IsolationUnavailableError",
    "JournalError",
    "LimitExceededError",
    "Limits",
    "Notification",
    "OutputItem",
    "PausableCell",
    "Pending",
    "ProtocolError",
    "ReplayDivergedError",
    "ResumeUnconfirmedError",
    "Resumed",
    "Session",
    "SessionHeldError",
    "SessionInfo",
    "SessionTakenError",
    "ShuttingDownError",
    "Status",
    "SupervisorInfo",
    "SupervisorUnavailableError",
    "Terminated",
    "Text",
    "TidemarkError",
    "Tool",
    "ToolCall",
    "ToolError",
    "WaitTimeoutError",
    "WorkerLostError",
    "WrongCellKindError",
    "Yielded",
    "__version__",
    "connect",
    "connect_async",
    "current_call",
]
