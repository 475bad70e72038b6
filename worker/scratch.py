"""Directories that workers may write in, and how to be rid of them whatever is inside."""

from __future__ import annotations

import os
import stat
from typing import Final

OPEN_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(parent: str, name: str) -> str:
    """A new empty directory that only this user may enter."""
    path = os.path.join(parent, name)
    os.mkdir(path, 0o700)
    return path


def remove(path: str) -> None:
    """Remove a directory and all that is in it; nothing happens if it is gone already.

    Follows no links, and needs neither a stack nor descriptors as deep as the tree: a directory
    within a directory is moved up to the first before it is emptied.

    Raises:
        OSError: something in it cannot be removed.
    """
    try:
        root = _opened(path)
    except FileNotFoundError:
        return
    prefix = f"moved-{os.urandom(8).hex()}-"  # a name that nothing in the tree can have
    try:
        moved = _empty(root, root, prefix, 0)
        emptied = 0
        while emptied < moved:
            emptied += 1
            name = f"{prefix}{emptied}"
            inner = os.open(name, OPEN_FLAGS, dir_fd=root)
            try:
                moved = _empty(inner, root, prefix, moved)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    os.rmdir(path)


def _opened(path: str) -> int:
    """Open a directory, also one that its owner has closed to everybody."""
    try:
        return os.open(path, OPEN_FLAGS)
    except PermissionError:
        place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # By its descriptor: the path could lead elsewhere by now.
            os.chmod(f"/proc/self/fd/{place}", 0o700)
        finally:
            os.close(place)
        return os.open(path, OPEN_FLAGS)


def _empty(directory: int, root: int, prefix: str, moved: int) -> int:
    """Unlink files and move directories into the root; returns how many were moved so far."""
    for name in os.listdir(directory):
        try:
            kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(kind):
                os.unlink(name, dir_fd=directory)
                continue
            os.chmod(name, 0o700, dir_fd=directory)
            os.rename(name, f"{prefix}{moved + 1}", src_dir_fd=directory, dst_dir_fd=root)
        except FileNotFoundError:
            continue  # somebody else removes it too
        moved += 1
    return moved
