"""What the zygote does once so that no worker has to: imports, caches, one run of everything."""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import linecache
import sys
import traceback
import types
from typing import Final, get_args

from ..protocol import classes, codec, values, zmtp
from ..protocol import worker_messages as messages
from ..protocol.packed import PackedInput, ToolSpec
from ..protocol.worker_messages import Item
from . import traces
from .dress_rehearsal import Stage, rehearse_cell, start_frames
from .reproducible import Reproducible

SWITCH_S: Final = 0.001  # a busy cell lets the stand-by in after this long
FOR_CELLS: Final = ("hashlib",)  # often imported by them, by nobody here, and not in no time
LIVES: Final = 11  # and that of `settle`: by then Python has adapted to what all of them do

_USED_BY_MOST: Final = (
    messages.Hello,
    messages.Start,
    messages.Said,
    messages.Emitted,
    messages.Called,
    messages.Paused,
    messages.Deliver,
    messages.Continue,
    messages.Confirmed,
    messages.Acknowledge,
    messages.Finished,
    messages.Bye,
    PackedInput,
    ToolSpec,
    zmtp.Ready,
)

SOURCE = """
import asyncio
async def part(number):
    await asyncio.sleep(0)
    return number
first, second = await asyncio.gather(part(1), part(2))
async with asyncio.TaskGroup() as group:
    group.create_task(part(3))
"""


def rehearse(reproducible: Reproducible) -> None:
    """Warm up. What lives then is out of sight of garbage collection, which begins with that: what
    imports have left as garbage stays, and nobody waits for a look at all that is here.

    Leaves no loop, thread or descriptor behind.
    """
    _run_once()
    values.digest(values.encode({"warm": [1, 2.0, None, "x"]}))
    codec.prepare([*codec.FROM_WORKER.kinds, *get_args(Item)])
    codec.TO_WORKER.prepare()
    classes.prepare(_USED_BY_MOST)
    start_frames()
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # before the lives, each of which collects
    gc.enable()
    for _ in range(LIVES):
        _live_once(reproducible)
    linecache.clearcache()  # of what `_run_once` has told of


def _live_once(reproducible: Reproducible) -> None:
    stage = Stage()
    rehearse_cell(reproducible, stage)
    stage.loop.close()


def _run_once() -> None:
    code = compile(SOURCE, "<rehearsal>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    module = types.ModuleType("rehearsal")
    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(types.FunctionType(code, module.__dict__)())
    finally:
        loop.close()
    try:
        raise ValueError("x")
    except ValueError as error:
        traces.describe(error)
        traceback.format_exc()


def settle(reproducible: Reproducible) -> None:
    """Import what is for cells alone, make room, and live once more.

    To be called last, by the very process that forks workers.

    Python remembers where it has found attributes, in 4,096 places for all of them, and holds their
    names. Full of what only imports have asked for, each of those that a worker asks for drives one
    out: both names are counted, and the page of each is copied. (From 3.12 on nobody counts them.)
    """
    for name in FOR_CELLS:
        importlib.import_module(name)
    if sys.version_info < (3, 12):
        sys._clear_type_cache()
    _live_once(reproducible)
