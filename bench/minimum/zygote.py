"""The hand-written minimum's zygote: imports once, forks a worker per cell, reaps it.

`python zygote.py DESCRIPTOR ENDPOINT`; it ends when the supervisor's end of the socket does, and
the kernel ends its workers then.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys

import forked_cell

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork on demand until the supervisor has gone."""
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    endpoint = sys.argv[2]
    libc = ctypes.CDLL(None)
    forked_cell.rehearse()
    bell, wakeup = socket.socketpair()
    bell.setblocking(False)
    wakeup.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakeup.fileno())
    poll = select.poll()
    poll.register(supervisor, select.POLLIN)
    poll.register(bell, select.POLLIN)
    gc.collect()
    gc.freeze()
    supervisor.send(b"ready")
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if bell.fileno() in ready:
            bell.recv(4096)
            reap(supervisor)
        if supervisor.fileno() in ready:
            name = supervisor.recv(64)
            if not name:
                return
            if os.fork() == 0:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                signal.set_wakeup_fd(-1)
                for inherited in (supervisor, bell, wakeup):
                    inherited.close()
                forked_cell.live(endpoint, name)


def reap(supervisor: socket.socket) -> None:
    """Tell the supervisor of every worker that has ended."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            supervisor.send(b"%d %d" % ended)
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
