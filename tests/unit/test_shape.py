"""What annotations say of fields, beside what the standard library reads in them."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from tidemark.protocol import codec, shape

from fakes import schema

UNIONS = [getattr(codec, name) for name in ("FROM_HOST", "TO_HOST", "FROM_WORKER", "TO_WORKER")]
KINDS = {
    kind
    for union in [*(direction.kinds for direction in UNIONS), get_args(codec.ANSWER)]
    for message in union
    for kind in schema.reachable(message)
    if hasattr(kind, "__match_args__")
}


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__))
def test_fields_are_what_typing_says(kind: type) -> None:
    hints = get_type_hints(kind, include_extras=True)
    names = kind.__match_args__  # type: ignore[attr-defined]
    assert shape.fields_of(kind) == {name: hints[name] for name in names}
