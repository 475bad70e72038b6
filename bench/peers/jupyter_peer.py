"""Jupyter kernels through jupyter_client. Nothing of it is durable.

The cycle is `input()`: the kernel asks on its stdin channel, the host answers, it asks again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from serving import Opened, none, nothing, pss_bytes, repeated, serve

READY_SECONDS_MAX = 60.0
ASKING = "n = '0'\nwhile True:\n    n = input(n)\n"


class Kernel:
    """One kernel and its client."""

    def __init__(self) -> None:
        self.kernel: KernelManager
        self.client: BlockingKernelClient
        self.kernel, self.client = start_new_kernel(startup_timeout=READY_SECONDS_MAX)

    def close(self) -> None:
        self.client.stop_channels()
        self.kernel.shutdown_kernel(now=True)

    @property
    def pid(self) -> int:
        assert self.kernel.provisioner is not None
        return int(self.kernel.provisioner.pid)

    def ask(self) -> str:
        """Run the loop of `input()`; the first prompt."""
        self.client.execute(ASKING, allow_stdin=True)
        return self.prompt()

    def prompt(self) -> str:
        return str(self.client.get_stdin_msg(timeout=READY_SECONDS_MAX)["content"]["prompt"])


def run_to_completion() -> float:
    """A kernel is started, and a source run in it."""
    began = perf_counter()
    kernel = Kernel()
    kernel.client.execute_interactive("print('hello')", output_hook=lambda said: None)
    seconds = perf_counter() - began
    kernel.close()
    return seconds


def cycles() -> Opened:
    kernel = Kernel()
    at = [int(kernel.ask())]

    def once() -> float:
        began = perf_counter()
        kernel.client.input(str(at[0] + 1))
        at[0] = int(kernel.prompt())
        return perf_counter() - began

    return repeated(once), kernel.close, none


def told() -> float:
    """The kernel is killed; its client's heartbeat says so."""
    kernel = Kernel()
    kernel.client.execute_interactive("1", output_hook=lambda said: None)
    assert kernel.client.hb_channel.is_beating()
    began = perf_counter()
    os.kill(kernel.pid, signal.SIGKILL)
    while kernel.client.hb_channel.is_beating():
        if perf_counter() - began > READY_SECONDS_MAX:
            raise RuntimeError("the heartbeat did not notice")
    seconds = perf_counter() - began
    kernel.close()
    return seconds


def returned() -> float:
    """The kernel is killed and started again, until it answers. Its state is lost."""
    kernel = Kernel()
    os.kill(kernel.pid, signal.SIGKILL)
    began = perf_counter()
    kernel.kernel.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=READY_SECONDS_MAX)
    kernel.ask()
    seconds = perf_counter() - began
    kernel.close()
    return seconds


def burst(count: int) -> list[float]:
    """So many kernels at once, each with a source to run."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: run_to_completion(), range(count)))


def started() -> float:
    """`jupyter run hello.py`, to its first output."""
    script = str(Path(__file__).parent.parent / "plain_hello.py")
    began = perf_counter()
    command = [str(Path(sys.executable).parent / "jupyter-run"), script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = perf_counter() - began
        process.stdout.read()
    if not first:
        raise RuntimeError("jupyter run printed nothing")
    return seconds


def memory(cells: int) -> float:
    """PSS of a kernel that waits for input."""
    kernels = [Kernel() for _ in range(cells)]
    for kernel in kernels:
        kernel.ask()
    found = sum(pss_bytes(kernel.pid) for kernel in kernels) / cells
    for kernel in kernels:
        kernel.close()
    return found


def opening(asked: dict[str, Any]) -> Opened:
    """What is asked for."""
    works: dict[str, Callable[[int], list[float]]] = {
        "create": repeated(run_to_completion),
        "told": repeated(told),
        "return": repeated(returned),
        "start": repeated(started),
        "burst": burst,
        "memory": repeated(lambda: memory(asked["cells"])),
    }
    if asked["work"] == "cycle":
        return cycles()
    return works[asked["work"]], nothing, none


if __name__ == "__main__":
    serve(opening)
