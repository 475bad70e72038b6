"""What arguments on the command line are turned into, or refused for."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn


def given_input(text: str) -> tuple[str, Any]:
    """NAME=JSON: a name that the cell's code sees, and its value."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not NAME=JSON, such as limit=10")
    try:
        return name, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(
            f"{value!r:.80} is not JSON ({error}); text needs quotes twice: '{name}=\"...\"'"
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def one_name(text: str) -> str:
    """A cell's id or a session's name: text that a request can carry."""
    from ..protocol.limits import NAME_BYTES_MAX

    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not UTF-8") from None
    if size > NAME_BYTES_MAX:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}... has {size:,} bytes, at most {NAME_BYTES_MAX} are possible"
        )
    return text


def generation_number(text: str) -> int:
    """A frontier's number; what it means, the supervisor decides."""
    from ..protocol.limits import INTEGER_MAX, INTEGER_MIN

    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no whole number") from None
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        raise argparse.ArgumentTypeError(f"{text:.40} is no generation: it must fit in 64 bits")
    return number


def row_limit(text: str) -> int:
    """A number of rows; 0 is all."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number
