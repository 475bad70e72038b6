"""How bugs are planted in the production code, in this process and for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .promise import Promise


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug.

    Attributes:
        seeds_max: it must be found within so many seeds.
        by: the promise that it breaks then (it may break others before).
        plant: puts it in; the stack takes it out again.
    """

    name: str
    seeds_max: int
    by: Promise
    plant: Callable[[ExitStack], None]

    def __str__(self) -> str:
        return self.name


def planted(seeds_max: int, by: Promise) -> Callable[[Callable[[ExitStack], None]], Plant]:
    """Makes a bug, named by its function, which must be found within so many seeds."""

    def made(plant: Callable[[ExitStack], None]) -> Plant:
        return Plant(plant.__name__.replace("_", " "), seeds_max, by, plant)

    return made


def planted_in(names: Mapping[str, Any]) -> tuple[Plant, ...]:
    """The bugs among a module's names, in their order."""
    return tuple(each for each in names.values() if isinstance(each, Plant))


def put(stack: ExitStack, owner: Any, name: Any, value: Any) -> None:
    """Replace an attribute, or an entry of a table, until the stack is left."""
    if isinstance(owner, dict):
        before = owner[name]
        owner[name] = value
        stack.callback(owner.__setitem__, name, before)
    else:
        stack.callback(setattr, owner, name, owner.__dict__[name])
        setattr(owner, name, value)
