"""`dataclass`, made lazily.

The standard one compiles up to six functions for each class when it is imported: 0.5 ms, and there
are some 270 of them, of which a process uses a few dozen. Here a class gets its functions when they
are first called; until then they are stubs that all classes share. What a class can do is the same,
and so is what a checker of types sees.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
else:

    def dataclass(*, frozen: bool = False, order: bool = False, slots: bool = False):
        """As `dataclasses.dataclass`; every annotation has to be text."""

        def made(kind: type) -> type:
            if kind.__bases__ != (object,):
                raise TypeError(f"{kind.__name__}: a class with a parent is not made lazily")
            made = _with_slots(kind) if slots else _open(kind)
            functions = _FROZEN if frozen else _MUTABLE
            for name, value in (functions | _ORDERED if order else functions).items():
                setattr(made, name, value)
            return made

        return made

    def field(*, default_factory):
        """As `dataclasses.field`."""
        return _Factory(default_factory)


class _Factory:
    """A default that is made anew for each object."""

    __slots__ = ("make",)

    def __init__(self, make: Any) -> None:
        self.make = make


_ANNOTATIONS: Final = "__annotations__"


def _with_slots(kind: type) -> type:
    own = dict(vars(kind))
    names, defaults = _fields_of(own)
    for name in (*defaults, "__dict__", "__weakref__"):
        own.pop(name, None)
    own |= {"__slots__": names, "__getstate__": _getstate, "__setstate__": _setstate}
    made = type(kind)(kind.__name__, kind.__bases__, own)
    made.__qualname__ = kind.__qualname__
    return _described(made, names, defaults)


def _open(kind: type) -> type:
    names, defaults = _fields_of(vars(kind))
    for name, default in defaults.items():
        if isinstance(default, _Factory):
            delattr(kind, name)
    return _described(kind, names, defaults)


def _fields_of(own: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    annotations: dict[str, str] = own.get(_ANNOTATIONS, {})
    names = tuple(name for name, text in annotations.items() if not text.startswith("ClassVar"))
    return names, {name: own[name] for name in names if name in own}


def _described(made: Any, names: tuple[str, ...], defaults: dict[str, Any]) -> type:
    if names[len(names) - len(defaults) :] != tuple(defaults):
        raise TypeError(f"{made.__name__}: a field without a default follows one with a default")
    type.__setattr__(made, "__match_args__", names)
    made.__field_defaults__ = defaults
    made.__dataclass_fields__ = _FIELDS
    if "__repr__" not in vars(made):
        made.__repr__ = _repr
    kind: type = made
    return kind


class _Fields:
    """What `dataclasses.fields` and its like look at, made when somebody looks."""

    def __get__(self, instance: object, kind: Any) -> Any:
        from dataclasses import dataclass as standard
        from dataclasses import field as standard_field

        defaults = {
            name: standard_field(default_factory=value.make)
            if isinstance(value, _Factory)
            else value
            for name, value in kind.__field_defaults__.items()
        }
        likeness = type(kind.__name__, (), {_ANNOTATIONS: kind.__annotations__, **defaults})
        likeness.__module__ = kind.__module__
        made: Any = standard(init=False, repr=False, eq=False)(likeness)
        kind.__dataclass_fields__ = made.__dataclass_fields__
        return kind.__dataclass_fields__


_FIELDS: Final = _Fields()


def prepare(kinds: Iterable[type]) -> None:
    """Make now what the first object of each of these classes would make: a fork inherits it."""
    for kind in kinds:
        made = vars(kind).get("__init__")
        if made is _init_frozen:
            _put(kind, "__init__", _frozen_init_source)
        elif made is _init_mutable:
            _put(kind, "__init__", _mutable_init_source)


# -- the stubs: each puts the real function in its place, and calls it ----------------------------


def _init_frozen(self: Any, *args: Any, **kwargs: Any) -> None:
    _put(type(self), "__init__", _frozen_init_source)(self, *args, **kwargs)


def _init_mutable(self: Any, *args: Any, **kwargs: Any) -> None:
    _put(type(self), "__init__", _mutable_init_source)(self, *args, **kwargs)


def _eq(self: Any, other: object) -> Any:
    return _put(type(self), "__eq__", _eq_source)(self, other)


def _hash(self: Any) -> Any:
    return _put(type(self), "__hash__", _hash_source)(self)


def _put(kind: Any, name: str, source: Any) -> Any:
    """Make this function of a class, and put it there.

    Its source calls the fields f0, f1 and so on. Compiled is only the first of those that are the
    same then; the others are it with other names.
    """
    known: dict[str, Any] = {}
    text = source(kind, known)
    names = {f"f{at}": field for at, field in enumerate(kind.__match_args__)}
    like = _compiled(text)
    code = like.replace(
        co_varnames=tuple([names.get(each, each) for each in like.co_varnames]),
        co_names=tuple([names.get(each, each) for each in like.co_names]),
        co_consts=tuple([names.get(each, each) for each in like.co_consts]),
        co_qualname=f"{kind.__qualname__}.{name}",
    )
    given = tuple(kind.__field_defaults__.values()) if name == "__init__" else None
    function = FunctionType(code, known, name, given)
    function.__module__ = kind.__module__
    setattr(kind, name, function)
    return function


@cache
def _compiled(text: str) -> CodeType:
    """The code of the function that this text defines."""
    module = compile(text, "<class>", "exec", dont_inherit=True)
    return next(each for each in module.co_consts if isinstance(each, CodeType))


def _frozen_init_source(kind: Any, known: dict[str, Any]) -> str:
    fields = range(len(kind.__match_args__))
    if "__slots__" not in vars(kind):
        body = [" _own = self.__dict__", *(f" _own['f{at}'] = f{at}" for at in fields)]
        return _init_source(kind, known, body)
    for at, name in enumerate(kind.__match_args__):
        known[f"_set{at}"] = vars(kind)[name].__set__
    return _init_source(kind, known, [f" _set{at}(self, f{at})" for at in fields])


def _mutable_init_source(kind: Any, known: dict[str, Any]) -> str:
    fields = range(len(kind.__match_args__))
    return _init_source(kind, known, [f" self.f{at} = f{at}" for at in fields])


def _init_source(kind: Any, known: dict[str, Any], body: list[str]) -> str:
    """Defaults are not in it: a function has them beside its code."""
    made = []
    for at, name in enumerate(kind.__match_args__):
        default = kind.__field_defaults__.get(name)
        if isinstance(default, _Factory):
            known[f"_default{at}"] = default
            made.append(f" if f{at} is _default{at}: f{at} = _default{at}.make()")
    given = ", ".join(["self", *(f"f{at}" for at in range(len(kind.__match_args__)))])
    after = [" self.__post_init__()"] if hasattr(kind, "__post_init__") else []
    return "\n".join([f"def __init__({given}):", *made, *body, *after, " pass"])


def _eq_source(kind: Any, known: dict[str, Any]) -> str:
    mine, others = _values(kind, "self"), _values(kind, "other")
    return (
        "def __eq__(self, other):\n"
        " if other.__class__ is self.__class__:\n"
        f"  return {mine} == {others}\n"
        " return NotImplemented"
    )


def _hash_source(kind: Any, known: dict[str, Any]) -> str:
    return f"def __hash__(self):\n return hash({_values(kind, 'self')})"


def _values(kind: Any, of: str) -> str:
    return "(" + "".join(f"{of}.f{at}, " for at in range(len(kind.__match_args__))) + ")"


# -- what all of them share -----------------------------------------------------------------------


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def compared(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(tuple(_getstate(self)), tuple(_getstate(other)))

    return compared


def _refuse_setting(self: object, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__match_args__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)


_MUTABLE: Final[dict[str, Any]] = {"__init__": _init_mutable, "__eq__": _eq, "__hash__": None}
_FROZEN: Final[dict[str, Any]] = {
    "__init__": _init_frozen,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse_setting,
    "__delattr__": _refuse_deleting,
}
_ORDERED: Final[dict[str, Any]] = {
    "__lt__": _compared(operator.lt),
    "__le__": _compared(operator.le),
    "__gt__": _compared(operator.gt),
    "__ge__": _compared(operator.ge),
}
