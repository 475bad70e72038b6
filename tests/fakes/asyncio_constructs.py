"""Cells that use what asyncio could do in another order, by name; see `constructs`."""

from __future__ import annotations

from typing import Final

ASYNCIO: Final[dict[str, str]] = {
    "gather": """
async def one(k):
    print("got", k, await tools.search(k=k))
print(await asyncio.gather(*(one(k) for k in range(n))))
""",
    "gather-exceptions": """
print(await asyncio.gather(*(tools.search(k=k, fails=k % 2) for k in range(n)),
                           return_exceptions=True))
""",
    "taskgroup": """
async with asyncio.TaskGroup() as group:
    for k in range(n):
        group.create_task(tools.search(k=k))
print("done")
""",
    "taskgroup-abort": """
async def one(k):
    try:
        await tools.search(k=k, fails=k == 2)
    finally:
        print("left", k)
try:
    async with asyncio.TaskGroup() as group:
        for k in range(12):
            group.create_task(one(k))
except* ToolError as errors:
    print([str(error) for error in errors.exceptions])
""",
    "wait-first-completed": """
async def one(k):
    await asyncio.sleep(0)
    return k
for turn in range(5):
    done, _ = await asyncio.wait([asyncio.create_task(one(k)) for k in range(9)])
    print([task.result() for task in done])
left = {asyncio.create_task(tools.search(k=k)) for k in range(n)}
while left:
    done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    print([task.result() for task in done], len(left))
""",
    "set-of-futures": """
loop = asyncio.get_running_loop()
made = [loop.create_future() for _ in range(40)]
place = {future: k for k, future in enumerate(made)}
print([place[future] for future in set(made)])
calls = [tools.search(k=k) for k in range(9)]
place = {call: k for k, call in enumerate(calls)}
print([place[call] for call in set(calls)])
groups = [asyncio.gather(call) for call in calls]
place = {group: k for k, group in enumerate(groups)}
print([place[group] for group in set(groups)])
print(await asyncio.gather(*groups))
""",
    "all-tasks": """
tasks = [asyncio.create_task(asyncio.sleep(0), name=f"t{k}") for k in range(30)]
print([task.get_name() for task in asyncio.all_tasks()])
await asyncio.gather(*tasks)
""",
    "as-completed": """
async def one(k):
    return await tools.search(k=k)
for next_one in asyncio.as_completed([one(k) for k in range(9)]):
    print(await next_one)
""",
    "as-completed-timeout": """
async def one(k):
    return await tools.search(k=k)
try:
    for next_one in asyncio.as_completed([one(k) for k in range(9)], timeout=0.5):
        print(await next_one)
except TimeoutError:
    print("late")
""",
    "wait-for": """
for k in range(n):
    try:
        print(await asyncio.wait_for(tools.search(k=k), 0.01))
    except TimeoutError:
        print("late", k)
""",
    "timeout-at": """
import time
for k in range(n):
    try:
        async with asyncio.timeout_at(time.monotonic() + 0.01):
            print(await tools.search(k=k))
    except TimeoutError:
        print("late", k)
""",
    "queue": """
queue = asyncio.Queue(2)
async def worker(name):
    while True:
        k = await queue.get()
        print(name, await tools.search(k=k))
        queue.task_done()
workers = [asyncio.create_task(worker(w)) for w in "abc"]
for k in range(6):
    await queue.put(k)
await queue.join()
""",
    "semaphore-lock": """
semaphore, lock = asyncio.Semaphore(2), asyncio.Lock()
async def one(k):
    async with semaphore:
        got = await tools.search(k=k)
        async with lock:
            print(k, got)
await asyncio.gather(*(one(k) for k in range(5)))
""",
    "event-condition": """
event, condition = asyncio.Event(), asyncio.Condition()
async def waits(k):
    await event.wait()
    async with condition:
        await condition.wait()
        print("woken", k)
tasks = [asyncio.create_task(waits(k)) for k in range(n)]
await tools.search()
event.set()
await tools.search()
async with condition:
    condition.notify_all()
await asyncio.gather(*tasks)
""",
    "cancel": """
async def one(k):
    try:
        await tools.search(k=k)
    except asyncio.CancelledError:
        print("cancelled", k, await tools.search(k=-k))
        raise
    finally:
        print("finally", k)
tasks = [asyncio.create_task(one(k)) for k in range(1, n)]
await tools.search()
for task in tasks:
    task.cancel()
print(await asyncio.gather(*tasks, return_exceptions=True))
""",
    "exception-group": """
async def one(k):
    await tools.search(k=k)
    raise ValueError(k)
async with asyncio.TaskGroup() as group:
    for k in range(n):
        group.create_task(one(k))
""",
    "async-generator": """
async def numbers():
    try:
        for k in range(n):
            yield await tools.search(k=k)
    finally:
        print("closed", await tools.search(k=-1))
async for got in numbers():
    print(got)
    if got > 10:
        break
await asyncio.sleep(0)
""",
    "contextvars-shield": """
import contextvars
who = contextvars.ContextVar("who", default="?")
async def one(k):
    who.set(k)
    await asyncio.shield(tools.search(k=k))
    print(who.get())
await asyncio.gather(*(one(k) for k in range(n)))
print(who.get())
""",
    "loop-calls": """
loop = asyncio.get_running_loop()
loop.call_later(0.02, print, "later")
loop.call_soon(print, "soon")
loop.call_at(loop.time() + 0.01, print, "at", loop.time())
await asyncio.sleep(0.03)
print(loop.time())
""",
    "sleep": """
import time
async def one(k):
    await asyncio.sleep(k / 100)
    print(k, time.monotonic(), await tools.search(k=k), time.monotonic())
await asyncio.gather(*(one(k) for k in range(n)))
""",
    "lost-task-error": """
async def one(k):
    await tools.search(k=k)
    raise ValueError(k)
tasks = [asyncio.create_task(one(k)) for k in range(n)]
await asyncio.wait(tasks)
del tasks
import gc; gc.collect()
""",
    "repr-of-task": """
task = asyncio.create_task(tools.search())
print(repr(task), repr(asyncio.get_running_loop().create_future()), asyncio.current_task())
await task
""",
    "task-names": """
async def one():
    await tools.search()
    print(asyncio.current_task().get_name())
await asyncio.gather(one(), one(), one())
""",
    "own-task-factory": """
def factory(loop, coro, context=None):
    print("made")
    return asyncio.Task(coro, loop=loop, context=context)
asyncio.get_running_loop().set_task_factory(factory)
async def one():
    return await tools.search()
print(await asyncio.create_task(one()))
""",
    "gc-tasks": """
async def forgotten(k):
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        print("gone", k)
for k in range(n):
    asyncio.create_task(forgotten(k))
    junk = [[] for _ in range(2000)]
    await tools.search(k=k)
""",
}
