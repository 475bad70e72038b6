"""Bugs planted in the production code: a simulator that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Final

from . import (
    plants_of_calls,
    plants_of_lives,
    plants_of_replay,
    plants_of_resumes,
    plants_of_spares,
)

PLANTS: Final = MappingProxyType(
    {
        each.name: each
        for each in (
            *plants_of_resumes.PLANTS,
            *plants_of_lives.PLANTS,
            *plants_of_calls.PLANTS,
            *plants_of_replay.PLANTS,
            *plants_of_spares.PLANTS,
        )
    }
)


@contextmanager
def planted_bug(name: str) -> Iterator[None]:
    """The production code with this bug, until the block is left."""
    with ExitStack() as stack:
        PLANTS[name].plant(stack)
        yield
