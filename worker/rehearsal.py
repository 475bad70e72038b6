"""What the zygote does once so that no worker has to: imports, caches, one run of everything."""

from __future__ import annotations

import ast
import asyncio
import gc
import traceback
import types
from typing import get_args

from ..protocol import codec, values
from ..protocol.worker_messages import Item
from . import traces

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
