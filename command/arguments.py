"""What the values of options mean."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn


def named_value(text: str) -> tuple[str, Any]:
    """NAME=JSON.

    Raises:
        ArgumentTypeError: it is something else.
    """
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


def row_count(text: str) -> int:
    """0 or more.

    Raises:
        ValueError, ArgumentTypeError: it is something else.
    """
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number
