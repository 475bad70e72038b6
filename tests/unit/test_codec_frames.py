"""Every message, item, answer and part as frames: golden, round trip, and fed in pieces."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from tidemark.protocol import codec, limits
from tidemark.protocol.host_requests import Ask

from fakes import examples, schema

DIRECTIONS = [
    codec.FROM_HOST,
    codec.TO_HOST,
    codec.FROM_WORKER,
    codec.TO_WORKER,
    codec.FROM_ZYGOTE,
    codec.TO_ZYGOTE,
]
BODY_MAX = 80 * limits.MIB


def every_message() -> Any:
    return pytest.mark.parametrize(
        ("direction", "message"), examples.MESSAGES.values(), ids=examples.MESSAGES.keys()
    )


def every_body() -> Any:
    return pytest.mark.parametrize(
        ("annotation", "value"), examples.BODIES.values(), ids=examples.BODIES.keys()
    )


def test_golden_frames(root: Path, expected: Any) -> None:
    lines = [
        "# Each example of fakes/examples.py, in hex: the two frames of a message, or one body.",
        "# A changed line is a changed protocol: raise PROTOCOL_VERSION. Rewritten by",
        "# `pytest tests/unit --rewrite`.",
        "",
    ]
    for name, frames in examples.golden().items():
        lines.append(name)
        lines.extend("    " + frame.hex() for frame in frames)
    expected.check(root / "tests/unit/golden/frames.txt", "\n".join(lines) + "\n")


def test_there_is_an_example_of_everything() -> None:
    seen: set[Any] = set()
    waiting: list[Any] = [value for _, value in examples.MESSAGES.values()]
    waiting.extend(value for _, value in examples.BODIES.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple):
            waiting.extend(value)
        elif isinstance(value, Enum):
            seen.add(value)
        elif hasattr(value, "__dataclass_fields__"):
            seen.add(type(value))
            waiting.extend(getattr(value, name) for name in value.__dataclass_fields__)
    wanted: set[Any] = set()
    for annotation in (codec.ANSWER, codec.ITEM, Ask, *(k for d in DIRECTIONS for k in d.kinds)):
        for kind in schema.reachable(annotation):
            wanted.update(kind if issubclass(kind, Enum) else {kind})
    assert {str(kind) for kind in wanted - seen} == set()


@every_message()
def test_a_message_comes_back(direction: codec.Direction[Any], message: Any) -> None:
    frames = direction.encode(message)
    assert [type(frame) for frame in frames] == [bytes, bytes]
    decoded = direction.decode(frames)
    assert decoded == message
    assert type(decoded) is type(message)
    assert direction.encode(decoded) == frames


@every_body()
def test_a_body_comes_back(annotation: Any, value: Any) -> None:
    body = codec.pack_body(value)
    decoded = codec.unpack_body(body, annotation, BODY_MAX)
    assert decoded == value
    assert type(decoded) is type(value)


@every_message()
def test_truncated_at_every_byte(direction: codec.Direction[Any], message: Any) -> None:
    header, body = direction.encode(message)
    for cut in range(len(header)):
        with pytest.raises(codec.BadFrame):
            direction.decode([header[:cut], body])
    for cut in range(len(body)):
        with pytest.raises(codec.BadFrame):
            direction.decode([header, body[:cut]])


@every_body()
def test_a_body_truncated_at_every_byte(annotation: Any, value: Any) -> None:
    body = codec.pack_body(value)
    for cut in range(len(body)):
        with pytest.raises(codec.BadFrame):
            codec.unpack_body(body[:cut], annotation, BODY_MAX)


@every_message()
def test_frames_missing_extra_and_with_bytes_left_over(
    direction: codec.Direction[Any], message: Any
) -> None:
    header, body = direction.encode(message)
    for frames in (
        [],
        [header],
        [body],
        [b"", header, body],
        [header, b""],
        [header, b"", body],
        [header, body, b""],
        [header, body, body],
        [body, header],
        [header + b"\x00", body],
        [header + body],
        [header, body + b"\x00"],
        [header, body + body],
    ):
        with pytest.raises(codec.BadFrame):
            direction.decode(frames)


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_wrong_headers(direction: codec.Direction[Any]) -> None:
    codes = {kind.CODE for kind in direction.kinds}  # type: ignore[attr-defined]
    for code in set(range(256)) - codes:
        with pytest.raises(codec.BadFrame, match=f"unknown message code {code}$"):
            direction.decode([b"TM\x01" + bytes([code]), b"\x90"])
    for magic in (b"tm", b"MT", b"\x00\x00", b"GE"):
        with pytest.raises(codec.BadFrame, match="not a Tidemark header"):
            direction.decode([magic + b"\x01\x01", b"\x90"])


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_another_version_is_recognized_whatever_follows(direction: codec.Direction[Any]) -> None:
    for version in set(range(256)) - {codec.PROTOCOL_VERSION}:
        header = b"TM" + bytes([version, 1])
        for frames in ([header], [header, b"\xff"], [header, b"", b"later"]):
            with pytest.raises(codec.OtherVersion, match="use the same release") as caught:
                direction.decode(frames)
            assert caught.value.version == version


def test_a_message_of_another_direction_is_refused() -> None:
    for _, (direction, message) in examples.MESSAGES.items():
        frames = direction.encode(message)
        for other in DIRECTIONS:
            if other is direction:
                continue
            try:
                decoded = other.decode(frames)
            except codec.BadFrame:
                continue
            # The shapes of a few messages agree; authority is bound to the socket, not the shape.
            assert type(decoded) in other.kinds


def test_what_is_too_large_to_send_is_not_sent() -> None:
    from tidemark.protocol.host_answers import Answered

    fits = Answered(1, 1, 1, 1, bytes(limits.ANSWER_PART_BYTES))
    assert codec.TO_HOST.decode(codec.TO_HOST.encode(fits)) == fits
    with pytest.raises(ValueError, match="too large to send"):
        codec.TO_HOST.encode(Answered(1, 1, 1, 1, bytes(limits.MESSAGE_BYTES_MAX)))
