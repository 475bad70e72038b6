"""Tools: functions of the host that cells call; how they are described, and called. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol import classes
from ..protocol.errors import LimitExceededError
from ..protocol.limits import KIB, TEXT_BYTES_MAX, TOOLS_BYTES_MAX, TOOLS_MAX
from ..protocol.packed import OnUnknown, ToolKind, ToolSpec
from ._asks import duration_ns, line
from ._fit import fit

_SIGNATURE_BYTES_MAX: Final = 4 * KIB
_FREEFORM_SIGNATURE: Final = "(text: str)"
_EMPTY: Final = inspect.Parameter.empty
_NO_SIGNATURE: Final = inspect.Signature(
    [inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)]
)


class WrongCall(TypeError):
    """Arguments that a tool does not take; the message shows its signature."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that cells may call, and what it is known by.

    Args:
        function: sync (run in a thread of its own) or async (run in a task). None only when
            `external`.
        name: instead of the function's own name; any text of one line.
        description: instead of its docstring.
        kind: "function" takes named arguments, "freeform" one string.
        idempotent: running it again is harmless, so an unknown outcome means: run it again.
        timeout: seconds that one call may take; None for ever.
        on_unknown: what becomes of a call whose host ended without a result: "ask" (it is listed
            by `session.calls()`), "fail" or "retry".
        external: has no function here; the call is listed by `session.calls()` until somebody
            finishes it.

    Raises:
        TypeError, ValueError: arguments that do not go together.
    """

    function: Callable[..., Any] | None = None
    name: str | None = field(default=None, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    kind: str = field(default="function", kw_only=True)
    idempotent: bool = field(default=False, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    on_unknown: str = field(default="ask", kw_only=True)
    external: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in {kind.value for kind in ToolKind}:
            raise ValueError(f"Tool.kind must be 'function' or 'freeform', not {self.kind!r:.40}")
        if self.on_unknown not in {choice.value for choice in OnUnknown}:
            raise ValueError(
                f"Tool.on_unknown must be 'ask', 'fail' or 'retry', not {self.on_unknown!r:.40}"
            )
        if self.description is not None and not isinstance(self.description, str):
            raise TypeError(
                f"Tool.description must be str or None, not {type(self.description).__name__}"
            )
        if self.timeout is not None and duration_ns("Tool.timeout", self.timeout) == 0:
            raise ValueError("Tool.timeout must be above 0 seconds, or None")
        if self.external:
            if self.function is None and not self.name:
                raise ValueError("an external Tool needs a name")
        elif not callable(self.function):
            raise TypeError(f"a Tool needs a function, not {type(self.function).__name__}")


@classes.dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as a session offers it: what the supervisor is told, and how it is called."""

    spec: ToolSpec
    function: Callable[..., Any] | None
    signature: inspect.Signature

    @property
    def shown(self) -> str:
        """Name and signature, as people read them."""
        return self.spec.name + self.spec.signature

    def bind(self, arguments: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How to call the function with these arguments.

        Raises:
            WrongCall: the tool does not take them.
        """
        if self.spec.kind is ToolKind.FREEFORM:
            if not isinstance(arguments, str):
                raise WrongCall(f"{self.shown} takes one string")
            return (arguments,), {}
        if not isinstance(arguments, dict):
            raise WrongCall(f"{self.shown} takes named arguments")
        try:
            bound = self.signature.bind(**arguments)
            for name, value in bound.arguments.items():
                parameter = self.signature.parameters[name]
                bound.arguments[name] = _fitted(parameter, value)
        except TypeError as error:
            raise WrongCall(f"{error}; the tool is {self.shown}") from None
        return bound.args, bound.kwargs


def _fitted(parameter: inspect.Parameter, value: Any) -> Any:
    if parameter.annotation is _EMPTY:
        return value
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return {
            name: fit(part, parameter.annotation, f"arguments.{name}")
            for name, part in value.items()
        }
    if value is None and parameter.default is None:
        return value  # `limit: int = None` is common and means Optional
    return fit(value, parameter.annotation, f"arguments.{parameter.name}")


def offered_tools(tools: Iterable[Tool | Callable[..., Any]]) -> dict[str, OfferedTool]:
    """The tools of a session by name.

    Raises:
        TypeError: something that is neither a function nor a Tool.
        ValueError: two tools that cells would see under one name, or a tool that cannot be called.
        LimitExceededError: too many tools, or too long descriptions.
    """
    offered: dict[str, OfferedTool] = {}
    seen: dict[str, str] = {}
    size = 0
    for tool in tools:
        made = _offered(tool if isinstance(tool, Tool) else Tool(tool))
        spec = made.spec
        if spec.exposed in seen:
            raise ValueError(
                f"the tools {seen[spec.exposed]!r} and {spec.name!r} would both be "
                f"tools.{spec.exposed} in a cell; give one another name: Tool(function, name=...)"
            )
        seen[spec.exposed] = spec.name
        offered[spec.name] = made
        size += sum(map(len, (spec.name, spec.exposed, spec.description, spec.signature))) * 4
        if len(offered) > TOOLS_MAX:
            raise _too_much("tools", TOOLS_MAX, len(offered))
    if size > 4 * TOOLS_BYTES_MAX:
        raise _too_much("tools_bytes", TOOLS_BYTES_MAX, size // 4)
    return offered


def _too_much(limit: str, value: int, used: int) -> LimitExceededError:
    return LimitExceededError(
        f"{limit}: {used:,}, at most {value:,} are allowed; split the session or shorten the "
        "descriptions",
        limit=limit,
        value=value,
        used=used,
    )


def _offered(tool: Tool) -> OfferedTool:
    name = line("a tool's name", tool.name or _name_of(tool.function))
    if not name or not name.isprintable():
        raise ValueError(f"{name!r} cannot name a tool: it must be one line of printable text")
    signature = _signature_of(tool, name)
    freeform = tool.kind == ToolKind.FREEFORM.value
    spec = ToolSpec(
        name=name,
        exposed=line("a tool's exposed name", exposed_name(name)),
        description=bounded(_description_of(tool), TEXT_BYTES_MAX),
        signature=_FREEFORM_SIGNATURE if freeform else shown_signature(signature),
        kind=ToolKind(tool.kind),
        on_unknown=OnUnknown.RETRY if tool.idempotent else OnUnknown(tool.on_unknown),
        external=tool.external,
        timeout_ns=0 if tool.timeout is None else duration_ns("Tool.timeout", tool.timeout),
    )
    return OfferedTool(spec, None if tool.external else tool.function, signature)


def _name_of(function: object) -> str:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError(f"{function!r:.80} has no name of its own: Tool(function, name=...)")
    return name


def _description_of(tool: Tool) -> str:
    if tool.description is not None:
        return tool.description
    function: Any = tool.function
    while hasattr(function, "func"):
        function = function.func
    return inspect.getdoc(function) or "" if function is not None else ""


def _signature_of(tool: Tool, name: str) -> inspect.Signature:
    signature = _NO_SIGNATURE if tool.function is None else _evaluated(tool.function)
    if tool.kind == ToolKind.FREEFORM.value:
        return signature
    for parameter in signature.parameters.values():
        required = parameter.default is _EMPTY
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and required:
            raise ValueError(
                f"tool {name!r}: cells pass arguments by name, but {parameter.name!r} is "
                "positional-only"
            )
    return signature


def _evaluated(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # noqa: BLE001 - evaluating annotations runs the user's code
        pass
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return _NO_SIGNATURE  # some C functions do not tell


class _Shown:
    """Stands in a signature for something whose own repr is no help to a reader."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shown_signature(signature: inspect.Signature) -> str:
    """A signature in one line, as in `(query: str, limit: int = 10) -> list[str]`.

    The same in every run: a default whose repr has an address is shown as `...`.
    """
    parameters = [
        parameter.replace(
            annotation=_shown_annotation(parameter.annotation),
            default=_shown_default(parameter.default),
        )
        for parameter in signature.parameters.values()
    ]
    returned = _shown_annotation(signature.return_annotation)
    text = str(inspect.Signature(parameters, return_annotation=returned))
    return bounded(" ".join(text.split()), _SIGNATURE_BYTES_MAX)


def _shown_annotation(annotation: Any) -> Any:
    if annotation is None or annotation is type(None):
        return _Shown("None")
    return _Shown(annotation) if isinstance(annotation, str) else annotation


def _shown_default(default: Any) -> Any:
    if default is _EMPTY:
        return default
    shown = repr(default)
    return _Shown("...") if " at 0x" in shown or len(shown) > 200 else default


def exposed_name(name: str) -> str:
    """The attribute of `tools` in a cell: `_` for each character that no identifier has there."""
    first, rest = name[:1], name[1:]
    head = first if first.isidentifier() else "_"
    return head + "".join(char if f"_{char}".isidentifier() else "_" for char in rest)


def bounded(text: str, bytes_max: int) -> str:
    """The text, cut in its middle when it is longer than this many bytes of UTF-8 (from 100)."""
    packed = text.encode(errors="replace")
    if len(packed) <= bytes_max:
        return packed.decode()
    gap = f" ... {len(packed) - bytes_max:,} bytes and more left out ... "
    half = (bytes_max - len(gap)) // 2
    head = packed[:half].decode(errors="ignore")
    return head + gap + packed[-half:].decode(errors="ignore")
