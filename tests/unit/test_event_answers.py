"""The answer that gives an event, put together from what the journal has packed."""

from __future__ import annotations

import pytest
from tidemark.protocol import codec
from tidemark.protocol.host_answers import EventGiven
from tidemark.protocol.packed import EventKind, OutputKind, PackedCall, PackedEvent, PackedOutput
from tidemark.supervisor.shell import event_answers
from tidemark.supervisor.shell import journal_schema as schema


@pytest.mark.parametrize("kind", [EventKind.YIELDED, EventKind.PENDING, EventKind.COMPLETED])
@pytest.mark.parametrize("number", [1, 200, 2**40])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 70_000])
def test_the_pieces_are_what_the_codec_packs(kind: EventKind, number: int, count: int) -> None:
    output = tuple(
        PackedOutput(at, OutputKind.TEXT, "é" * at, None) for at in range(min(count, 90))
    )
    output += tuple(PackedOutput(at, OutputKind.TEXT, "x", None) for at in range(90, count))
    calls = (PackedCall(3, "echo", b"\x90", True),)
    packed = codec.pack_body(EventGiven(PackedEvent(kind, number, output, 7, calls)))
    bodies = [schema.pack_output(item) for item in output]
    pieces = event_answers.pieces(PackedEvent(kind, number, (), 7, calls), bodies)
    assert b"".join(pieces) == packed


@pytest.mark.parametrize("sizes", [[1], [10], [9, 2], [3, 30, 1], [10, 10], [0, 25, 0, 4], [100]])
def test_parts_are_full_but_for_the_last(sizes: list[int]) -> None:
    whole = bytes(range(sum(sizes)))
    pieces, begin = [], 0
    for size in sizes:
        pieces.append(whole[begin : begin + size])
        begin += size
    parts = list(event_answers.parts(pieces, 10))
    assert b"".join(parts) == whole
    assert len(parts) == -(-len(whole) // 10)
    assert {len(part) for part in parts[:-1]} <= {10}
