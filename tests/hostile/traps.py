"""Attacks on whoever cleans up after the cell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fakes.waiting import until
from hostile.attack import Attack, Family, Scene

_BY = "removal by descriptors, without recursion; sealed: nothing is left to remove"
OWN_FILES = ("sibling.txt",)


def _removed(scene: Scene) -> str:
    """Nothing of the cell's files is left in the supervisor's directory."""
    work = scene.ground.state / "work"

    def left() -> list[Path]:
        found = []
        for place in work.iterdir() if work.is_dir() else ():
            try:
                names = os.listdir(place)
            except FileNotFoundError:  # it was removed just now
                continue
            if not set(names) & set(OWN_FILES):
                found.append(place)
        return found

    try:
        until(lambda: not left(), seconds=15)
    except AssertionError:
        names = [each.name for each in left()]
        subprocess.run(["rm", "-rf", *left()], check=False)  # the next one is judged by them too
        return f"the cell's files are still there: {names}"
    return ""


def _trap(
    name: str,
    source: str,
    ending: str = "ready()\nawait asyncio.sleep(20)",
    open_at: Mapping[str, str] = MappingProxyType({}),
) -> Attack:
    return Attack(name, source + "\n" + ending, _BY, after=_removed, open_at=open_at)


ATTACKS = (
    _trap(
        "directories three thousand deep",
        "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nos.chdir('/')",
    ),
    _trap("five thousand files", "for n in range(5000): open(f'n{n}', 'w').close()"),
    _trap(
        "directories that nobody may enter",
        "os.makedirs('a/b/c')\nopen('a/b/c/file', 'w').close()\n"
        "for path in ('a/b/c', 'a/b', 'a', '.'): os.chmod(path, 0)",
    ),
    _trap(
        "links that lead outside",
        "os.mkdir('a')\n"
        "for name in ('link', 'a/link'): os.symlink(target['place'], name)\n"
        "os.symlink(target['secret'], 'file')",
    ),
    _trap(
        "pipes that wait for a reader",
        """
for number in range(10):
    try:
        os.mkfifo(f"pipe{number}")
    except OSError:
        pass
""",
    ),
    _trap(
        "a directory that becomes a link while it is removed",
        """
os.makedirs("a/b")
def swap():
    while True:
        try:
            os.rename("a/b", "a/c")
            os.symlink(target["place"], "a/b")
            os.remove("a/b")
            os.rename("a/c", "a/b")
        except OSError:
            pass
threading.Thread(target=swap, daemon=True).start()
""",
    ),
    _trap(
        "names that are no text",
        "for name in (b'\\xff\\xfe', b'new\\nline', b'-rf', b' ', b'x' * 255):\n"
        "    open(name, 'w').close()",
    ),
    _trap(
        "its work directory replaced by a link",
        """
here = os.getcwd()
os.chdir("/")
try:
    os.rename(here, here + "x")
    os.symlink(target["place"], here)
    os.rename(here + "x", here + "y")
except OSError:
    pass
""",
        open_at={"process": "level process lets a cell take its own directory elsewhere"},
    ),
    _trap(
        "files that grow while they are removed",
        """
file = open("grows", "wb")
def grow():
    for _ in range(100):
        file.write(b"x" * 10**5)
        file.flush()
        time.sleep(0.01)
threading.Thread(target=grow, daemon=True).start()
""",
    ),
    _trap(
        "an end in a directory that is gone",
        "os.makedirs('a/b')\nos.chdir('a/b')\nos.rmdir('../b')",
        "exit(1)",
    ),
)
FAMILY = Family("Traps for the clean-up", ATTACKS)
