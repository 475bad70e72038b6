"""What the zygote does once so that no worker has to: imports, caches, one run of everything."""

from __future__ import annotations

import ast
import asyncio
import gc
import traceback
import types
from typing import Final, get_args

from ..protocol import classes, codec, values
from ..protocol import worker_messages as messages
from ..protocol.packed import PackedInput
from ..protocol.worker_messages import Item
from . import traces
from .dress_rehearsal import start_frames

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


def rehearse() -> None:
    """Warm up, then put all that lives now out of the garbage collector's sight for ever.

    Leaves no loop, thread or descriptor behind.
    """
    _run_once()
    values.digest(values.encode({"warm": [1, 2.0, None, "x"]}))
    codec.prepare([*codec.FROM_WORKER.kinds, *get_args(Item)])
    codec.TO_WORKER.prepare()
    classes.prepare(_USED_BY_MOST)
    start_frames()
    gc.collect()
    gc.freeze()


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
