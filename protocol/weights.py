"""What a worker's items count against its window of unacknowledged output: the same on both sides.

The supervisor acknowledges at a quarter of the window, so the two must agree.
"""

from __future__ import annotations

from typing import Final

from .worker_messages import Called, Emitted, Finished, Item, Notified, Wrote

ITEM_OVERHEAD_BYTES: Final = 64  # so that a million empty items are not free


def text_bytes(text: str) -> int:
    """The size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def item_bytes(item: Item) -> int:
    """What an item counts against the windows: its content and a fixed overhead."""
    size = ITEM_OVERHEAD_BYTES
    if isinstance(item, Emitted):
        size += text_bytes(item.content)
    elif isinstance(item, Called):
        size += len(item.arguments)
    elif isinstance(item, Notified):
        size += text_bytes(item.text)
    elif isinstance(item, Wrote):
        size += len(item.content or b"")
    elif isinstance(item, Finished):
        size += len(item.value or b"") + text_bytes(item.error or "")
    return size
