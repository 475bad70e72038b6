"""The answer that gives an event, made of the output as the journal has it.

An event may carry a cell's whole output. What was packed for the journal is packed as a host reads
it, so it is not unpacked and packed again, which would be four copies of it at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgpack

from ...protocol import codec
from ...protocol.host_answers import EventGiven
from ...protocol.packed import PackedEvent

_NO_OUTPUT: Final = b"\x90"  # an empty list


def pieces(event: PackedEvent, output: Sequence[bytes]) -> list[bytes]:
    """What `codec.pack_body` makes of the answer with this event, in pieces.

    `event` has no output: `output` has its items, packed.
    """
    body = codec.pack_body(EventGiven(event))
    # Three lists around the kind, the number and the output: the answer's, its fields', the event's
    place = 4 + len(msgpack.packb(event.kind.value)) + len(msgpack.packb(event.number))
    assert body[place : place + 1] == _NO_OUTPUT
    header = msgpack.Packer().pack_array_header(len(output))
    return [body[:place], header, *output, body[place + 1 :]]


def parts(content: Sequence[bytes], size: int) -> Iterator[bytes]:
    """What these pieces are together, in parts of `size` bytes; the last may be shorter."""
    part = bytearray()
    for piece in content:
        begin = 0
        while len(part) + len(piece) - begin >= size:
            end = begin + size - len(part)
            yield bytes(part + piece[begin:end])
            part.clear()
            begin = end
        part += piece[begin:]
    if part:
        yield bytes(part)
