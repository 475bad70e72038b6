"""Objects as values that can be compared, hashed and kept, and made into objects again.

For an explorer that goes back to a state a thousand times: copying with `copy.deepcopy` takes ten
times as long, and gives nothing that tells two states apart.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import cache
from typing import Any, NamedTuple, TypeAlias

Value: TypeAlias = Any


class Fields:
    """The names of an object's fields; there is one for all objects that have the same."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names


class Kept(NamedTuple):
    """A container or an object of ours: its type, its fields or keys, and what they hold."""

    kind: type
    names: Fields | tuple[Value, ...]
    held: tuple[Value, ...]


class Again(NamedTuple):
    """The object of this number, counted as they are met: two owners share one."""

    number: int


_SEQUENCES = (list, deque)
_MAPPINGS = (dict, OrderedDict)


@cache
def _fields(names: tuple[str, ...]) -> Fields:
    return Fields(names)


@cache
def _is_value(kind: Any) -> bool:
    """Whether values of this type never change: atoms, tuples, frozen dataclasses and enums."""
    if kind in _SEQUENCES or kind in _MAPPINGS:
        return False
    params = getattr(kind, "__dataclass_params__", None)
    if params is not None:
        return bool(params.frozen)
    ours = kind.__module__.split(".")[0] in ("tidemark", "simulation", "fakes", "tests")
    return not ours or hasattr(kind, "__members__") or issubclass(kind, tuple)


def freeze(thing: Any, opened: frozenset[type] = frozenset()) -> Value:
    """The thing as a value. Frozen dataclasses stay themselves, but those of types in `opened`.

    Tuples are taken to hold values only; whatever cannot be hashed shows when it is.
    """
    numbers: dict[int, int] = {}

    def walk(each: Any) -> Value:
        kind: Any = type(each)
        if _is_value(kind) and kind not in opened:
            return each
        if kind in _SEQUENCES:
            longest = (each.maxlen,) if kind is deque else ()
            return Kept(kind, longest, tuple([walk(item) for item in each]))
        if kind in _MAPPINGS:
            return Kept(kind, tuple(each), tuple([walk(item) for item in each.values()]))
        if id(each) in numbers:
            return Again(numbers[id(each)])
        numbers[id(each)] = len(numbers)
        if hasattr(each, "__dict__"):
            fields = each.__dict__
            held = tuple([walk(item) for item in fields.values()])
            return Kept(kind, _fields(tuple(fields)), held)
        held = tuple([walk(getattr(each, name)) for name in kind.__slots__])
        return Kept(kind, _fields(kind.__slots__), held)

    return walk(thing)


def thaw(value: Value) -> Any:
    """What `freeze` was given, as new objects."""
    objects: list[Any] = []

    def walk(each: Value) -> Any:
        kind = type(each)
        if kind is Again:
            return objects[each.number]
        if kind is not Kept:
            return each
        kind, names, held = each
        if kind in _SEQUENCES:
            items = [walk(item) for item in held]
            return items if kind is list else deque(items, maxlen=names[0])
        if kind in _MAPPINGS:
            return kind(zip(names, [walk(item) for item in held], strict=True))
        made = object.__new__(kind)
        objects.append(made)
        if hasattr(made, "__dict__"):
            made.__dict__.update(zip(names.names, [walk(item) for item in held], strict=True))
        else:
            for name, item in zip(names.names, held, strict=True):
                object.__setattr__(made, name, walk(item))
        return made

    return walk(value)


class Frozen:
    """A frozen object that is hashed once, with the object itself to look at (not to change)."""

    __slots__ = ("_hash", "seen", "value")

    def __init__(self, thing: Any, opened: frozenset[type] = frozenset()) -> None:
        self.seen = thing
        self.value = freeze(thing, opened)
        self._hash = hash(self.value)

    def copied(self) -> Any:
        """The object again, to be changed."""
        return thaw(self.value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and self.value == other.value


class Numbered:
    """Values by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._values: list[Any] = []

    def number(self, value: Any, told_by: Any = None) -> int:
        """The value's number; `told_by` is what it is told from others by, if not by itself."""
        key = value if told_by is None else told_by
        found = self._numbers.setdefault(key, len(self._values))
        if found == len(self._values):
            self._values.append(value)
        return found

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> Any:
        return self._values[number]
