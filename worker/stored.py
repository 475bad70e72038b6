"""Stored values as a cell sees them: the session's, under the cell's own writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol import limits, values
from ..protocol.weights import text_bytes
from ..protocol.worker_messages import Wrote
from .link import Link
from .plain import bounded, packed


class Stored:
    """Reads the version that was current when the cell was created, plus what the cell wrote.

    Values are fetched when they are first read. Others see what was written with the completion.
    """

    def __init__(self, link: Link, seen: Callable[[str], None], line: Callable[[], int]) -> None:
        """`seen` is told before anything is said, with why it would be own work."""
        self._link = link
        self._line = line
        self._seen = seen
        self._written: dict[str, bytes | None] = {}
        self._fetched: dict[str, bytes | None] = {}
        self._keys: tuple[str, ...] | None = None

    def store(self, key: str, value: object) -> None:
        """Set a value, visible to other cells when this one has completed.

        Raises:
            TypeError: a key that is no string, or a value that is not plain data, named by path.
        """
        _check_key(key)
        self._write(key, bounded(self._link, value, "value", "stored_value_bytes"))

    def delete(self, key: str) -> None:
        """Remove a value; nothing happens if there is none."""
        _check_key(key)
        self._write(key, None)

    def load(self, key: str, default: Any = None) -> Any:
        """A copy of the value, or the default if there is none."""
        _check_key(key)
        if key in self._written:
            content = self._written[key]
        elif key in self._fetched:
            content = self._fetched[key]
        else:
            content = self._fetched[key] = self._link.fetch(key).content
        return default if content is None else values.decode(content)

    def keys(self) -> list[str]:
        """All keys, sorted."""
        if self._keys is None:
            self._keys = self._link.fetch(None).keys
        alive = set(self._keys).difference(self._written)
        alive.update(key for key, content in self._written.items() if content is not None)
        return sorted(alive)

    def _write(self, key: str, content: bytes | None) -> None:
        self._seen("a stored value from another thread")
        self._written[key] = content
        self._link.say(Wrote(key, content, values.digest(content or b""), self._line()))


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"key: a key must be str, not {type(key).__name__}")
    packed(key, "key")
    size = text_bytes(key)
    if size > limits.STORED_KEY_BYTES_MAX:
        raise ValueError(
            f"key: {size:,} bytes, at most {limits.STORED_KEY_BYTES_MAX:,} are allowed"
        )
