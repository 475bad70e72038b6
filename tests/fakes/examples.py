"""Every example, as (where it belongs, value): messages of a direction, or bodies of a type."""

from __future__ import annotations

from typing import Any, Final

from tidemark.protocol import codec
from tidemark.protocol.packed import PackedEvent, PackedInput

from fakes import host_examples as host
from fakes import worker_examples as worker

MESSAGES: Final[dict[str, tuple[codec.Direction[Any], Any]]] = {
    f"{name}/{example}": (direction, message)
    for name, direction, examples in (
        ("from-host", codec.FROM_HOST, {k: host.request(ask) for k, ask in host.ASKS.items()}),
        ("to-host", codec.TO_HOST, host.MESSAGES),
        ("from-worker", codec.FROM_WORKER, worker.FROM_WORKER),
        ("to-worker", codec.TO_WORKER, worker.TO_WORKER),
        ("from-zygote", codec.FROM_ZYGOTE, worker.FROM_ZYGOTE),
        ("to-zygote", codec.TO_ZYGOTE, worker.TO_ZYGOTE),
    )
    for example, message in examples.items()
}

_PARTS: Final[dict[str, Any]] = {
    "call-ref": host.CALL,
    "event-ref": host.request(host.ASKS["detach"]).acknowledged[0],
    "session-ask": host.ASK_SESSION,
    "session-ask-least": host.ANY_SESSION,
    "tool-spec": host.SEARCH,
    "tool-spec-freeform": host.SHELL,
    "limits": host.ALL_LIMITS,
    "incarnation": worker.BORN,
    "request-ref": worker.RESUME,
    "output": host.YIELDED.output[0],
    "call": host.PENDING.calls[0],
    "history-row": host.ANSWERS["history"].rows[0],  # type: ignore[union-attr]
    "event-row": host.ANSWERS["events"].rows[0],  # type: ignore[union-attr]
    "cell-row": host.ANSWERS["cells"].rows[0],  # type: ignore[union-attr]
    "session-row": host.ANSWERS["sessions"].rows[0],  # type: ignore[union-attr]
    "open-call": host.ANSWERS["calls"].calls[0],  # type: ignore[union-attr]
}
_EVENTS: Final = {
    "yielded": host.YIELDED,
    "pending": host.PENDING,
    "completed": host.COMPLETED,
    "raised": host.RAISED,
    "refused": host.REFUSED,
    "limit": host.LIMITED,
    "poison": host.POISON,
    "lost": host.LOST,
    "terminated": host.TERMINATED,
}
_INPUTS: Final = (worker.RESULT, worker.ERROR, worker.TIMER)

BODIES: Final[dict[str, tuple[Any, Any]]] = {
    **{f"answer/{name}": (codec.ANSWER, answer) for name, answer in host.ANSWERS.items()},
    **{f"item/{name}": (codec.ITEM, item) for name, item in worker.ITEMS.items()},
    **{f"part/{name}": (type(part), part) for name, part in _PARTS.items()},
    **{f"event/{name}": (PackedEvent, event) for name, event in _EVENTS.items()},
    **{f"input/{taken.kind.value}": (PackedInput, taken) for taken in _INPUTS},
}


def golden() -> dict[str, tuple[bytes, ...]]:
    """The frames of every message and the body of everything else, by name."""
    frames = {name: tuple(way.encode(message)) for name, (way, message) in MESSAGES.items()}
    bodies = {name: (codec.pack_body(value),) for name, (_, value) in BODIES.items()}
    return {**frames, **bodies}
