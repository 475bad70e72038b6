"""Events of a cell as text for people and as JSON for programs. Pure."""

from __future__ import annotations

import json
import reprlib
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from ..protocol.frontier import Frontier, Image, OutputItem, Pending, Text, ToolCall
from .terminal import Screen, Style, clock_time, counted, cut, duration, printable

CALLS_SHOWN: Final = 8
_CALL_CHARS: Final = 120
_GAP: Final = "  "


def json_line(**parts: Any) -> str:
    """One JSON object; bytes become base64."""
    return json.dumps(plain(parts), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Values of the API as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (bytes, bytearray)):
        return b2a_base64(value, newline=False).decode("ascii")
    return value


def output_json(item: OutputItem) -> str:
    """One item of output as a JSON object."""
    return json_line(type="text" if isinstance(item, Text) else "image", **plain(item))


def output_text(item: OutputItem) -> str:
    """One item of output as a terminal or a pipe gets it; always ends with a new line."""
    if isinstance(item, Image):
        return f"[{image_note(item)}]\n"
    return item.text if item.text.endswith("\n") else item.text + "\n"


def image_note(image: Image) -> str:
    """What an image is, in place of its content."""
    kind, _, content = image.url.removeprefix("data:").partition(",")
    padding = content[-2:].count("=")
    count = len(content) * 3 // 4 - padding if kind.endswith(";base64") else len(content)
    detail = f", {image.detail}" if image.detail else ""
    return f"image: {kind.split(';')[0] or 'unknown type'}, {count:,} bytes{detail}"


def call_text(call: ToolCall) -> str:
    """A tool call as it stands in the code, with long arguments shortened."""
    short = _shortener()
    if isinstance(call.arguments, dict):
        shown = list(call.arguments.items())[:6]
        parts = [f"{name}={short.repr(value)}" for name, value in shown]
        if len(call.arguments) > len(shown):
            parts.append("…")
        inside = ", ".join(parts)
    else:
        inside = short.repr(call.arguments)
    return cut(printable(f"{call.tool}({inside})"), _CALL_CHARS)


def _shortener() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 40
    short.maxlist = short.maxtuple = short.maxdict = 4
    short.maxlevel = 3
    return short


def frontier_lines(
    frontier: Frontier | Pending,
    screen: Screen,
    *,
    at: float,
    now: float,
    first_seen: dict[str, float],
) -> Iterator[str]:
    """A frontier in a few lines.

    Args:
        at: when the pause was noticed, in seconds since 1970.
        now: the same clock, now.
        first_seen: when each call was first seen, by id.
    """
    calls = frontier.tool_calls
    waits = f"waiting on {counted(len(calls), 'call')}" if calls else "no calls"
    title = screen.styled(f"generation {frontier.generation}", Style.BOLD, Style.YELLOW)
    yield f"{title}: paused at {clock_time(at)}, {waits}"
    yield from _call_lines(calls, screen, now, first_seen)
    if frontier.next_timer is not None:
        left = frontier.next_timer - now
        when = f"in {duration(left)}" if left > 0 else f"due for {duration(-left)}"
        yield f"{_GAP}next timer {when}"
    for work in frontier.own_work:
        yield f"{_GAP}own work: {cut(printable(work), screen.width - 14)}"
    if is_stuck(frontier):
        yield _GAP + screen.styled("stuck: nothing can ever wake this cell", Style.RED)


def _call_lines(
    calls: tuple[ToolCall, ...], screen: Screen, now: float, first_seen: dict[str, float]
) -> Iterator[str]:
    shown = calls if len(calls) <= CALLS_SHOWN + 1 else calls[:CALLS_SHOWN]
    wide = max((len(call.id) for call in shown), default=0)
    for call in shown:
        age = "new" if call.new else f"for {duration(now - first_seen.get(call.id, now))}"
        room = screen.width - wide - len(age) - 3 * len(_GAP)
        text = cut(call_text(call), max(room, 20))
        style = Style.GREEN if call.new else Style.DIM
        yield f"{_GAP}{call.id:<{wide}}{_GAP}{text}{_GAP}{screen.styled(age, style)}"
    if len(shown) < len(calls):
        yield f"{_GAP}{screen.styled(f'… and {len(calls) - len(shown):,} more', Style.DIM)}"


def is_stuck(frontier: Frontier | Pending) -> bool:
    """Whether nothing is under way that could move the cell."""
    return not (frontier.tool_calls or frontier.next_timer or frontier.own_work)


def names_of(calls: Iterable[ToolCall], shown: int = 3) -> str:
    """A few calls in a row, for a line that must stay short."""
    every = list(calls)
    names = ", ".join(f"{call.id} {printable(call.tool)}" for call in every[:shown])
    return names + (f" +{len(every) - shown}" if len(every) > shown else "")
