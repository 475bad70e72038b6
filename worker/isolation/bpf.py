"""A small assembler for the programs by which the kernel judges system calls."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Instruction: TypeAlias = tuple[int, int, int, int]  # code, jump if true, jump if false, constant

ALLOW: Final = 0x7FFF_0000
KILL_PROCESS: Final = 0x8000_0000
_ERRNO: Final = 0x0005_0000

_LOAD: Final = 0x20
_AND: Final = 0x54
_EQUALS: Final = 0x15
_AT_LEAST: Final = 0x35
_ABOVE: Final = 0x25
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
INSTRUCTIONS_MAX: Final = 4_096


def refuse(errno: int) -> int:
    """The verdict that makes a call fail with this error; 0: it seems to succeed."""
    return _ERRNO | errno


def verdict(value: int) -> Instruction:
    """End the program."""
    return (_RETURN, 0, 0, value)


def load_architecture() -> Instruction:
    """Look at what kind of machine the call was made for."""
    return (_LOAD, 0, 0, _ARCHITECTURE_AT)


def load_number() -> Instruction:
    """Look at the call's number."""
    return (_LOAD, 0, 0, _NUMBER_AT)


def load_argument(index: int) -> Instruction:
    """Look at the lower 32 bits of an argument, on a little-endian machine."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * index)


def mask(bits: int) -> Instruction:
    """Look only at these bits."""
    return (_AND, 0, 0, bits)


def if_equal(value: int, then: int) -> list[Instruction]:
    """End with this verdict if what was looked at has this value."""
    return [(_EQUALS, 0, 1, value), verdict(then)]


def unless_equal(value: int, then: int) -> list[Instruction]:
    """End with this verdict if what was looked at has another value."""
    return [(_EQUALS, 1, 0, value), verdict(then)]


def if_any_bit(bits: int, then: int) -> list[Instruction]:
    """End with this verdict if any of these bits is set."""
    return [(_ANY_BIT, 0, 1, bits), verdict(then)]


def if_above(value: int, then: int) -> list[Instruction]:
    """End with this verdict if what was looked at is greater."""
    return [(_ABOVE, 0, 1, value), verdict(then)]


def if_between(low: int, high: int, then: int) -> list[Instruction]:
    """End with this verdict if what was looked at is one of these, both included."""
    if low == high:
        return if_equal(low, then)
    return [(_AT_LEAST, 0, 2, low), (_ABOVE, 1, 0, high), verdict(then)]


def only_if_equal(value: int, block: Sequence[Instruction]) -> list[Instruction]:
    """Go through this block, which must end with a verdict, only for this value."""
    return [(_EQUALS, 0, len(block), value), *block]


def runs(verdicts: dict[int, int]) -> Iterable[tuple[int, int, int]]:
    """Neighbouring numbers with one verdict, as (low, high, verdict)."""
    low = high = None
    for number in sorted(verdicts):
        if low is not None and high == number - 1 and verdicts[low] == verdicts[number]:
            high = number
            continue
        if low is not None and high is not None:
            yield low, high, verdicts[low]
        low = high = number
    if low is not None and high is not None:
        yield low, high, verdicts[low]


def assemble(program: Sequence[Instruction]) -> bytes:
    """The program as the kernel reads it.

    Raises:
        ValueError: it is longer than the kernel takes, or jumps further than it can.
    """
    if len(program) > INSTRUCTIONS_MAX:
        raise ValueError(f"a filter of {len(program)} instructions; at most {INSTRUCTIONS_MAX}")
    if any(max(jt, jf) > 255 for _, jt, jf, _ in program):
        raise ValueError("a jump over more than 255 instructions")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
