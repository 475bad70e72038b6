"""Attacks on files and secrets outside of the cell."""

from __future__ import annotations

from hostile.attack import Attack, Family, Scene

OPEN = "level process hides no files: a cell may do what the supervisor's user may"
PARENT = "level process hides no processes, and /proc tells of those of the same user"

_LISTING = """
import stat
for number in range(3, 1024):
    try:
        kind = os.fstat(number).st_mode
    except OSError:
        continue
    for path in (target["secret"], "../" * 30 + target["secret"]):
        try:
            print(open(os.open(path.lstrip("/"), os.O_RDONLY, dir_fd=number)).read())
        except OSError:
            pass
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
        print("a file or directory is open:", number)
        try:
            print(repr(os.pread(number, 1000, 0)))
        except OSError:
            pass
"""
_HANDLE = """
# What a name is turned into for NFS servers leads around every directory.
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
mount = ctypes.c_int()
call("name_to_handle_at", -100, target["secret"].encode(), handle, ctypes.byref(mount), 0)
root = os.open("/", os.O_RDONLY)
print(open(call("open_by_handle_at", root, handle, os.O_RDONLY)).read())
"""

_TOKENS = """
# Below the cell's own code on the stack is that of the zygote, with all that it knows.
import gc
todo, frame = [], sys._getframe()
while frame is not None:
    todo += [frame, *frame.f_locals.values()]
    frame = frame.f_back
gc.unfreeze()
todo += gc.get_objects()
seen, found = set(), set()
while todo and len(seen) < 400_000:
    thing = todo.pop()
    if id(thing) in seen:
        continue
    seen.add(id(thing))
    if type(thing) is bytes and len(thing) == 16:
        found.add(thing.hex())
    elif type(thing).__name__ in ("tuple", "list", "dict", "set"):
        todo += gc.get_referents(thing)
    elif hasattr(thing, "__dict__") or hasattr(type(thing), "__slots__"):
        todo += gc.get_referents(thing)
text(" ".join(found))
"""


def _token_found(scene: Scene) -> str:
    """Whether the sibling's token is among what it has found."""
    found = scene.ground.token_of_sibling().hex() in scene.said
    return "it knows the token of a sibling" if found else ""


ATTACKS = (
    Attack(
        "read a file of the supervisor's user",
        "print(open(target['secret']).read())",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a file that everybody may read",
        "print(open(target['public']).read())",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a file through a symbolic link",
        "os.symlink(target['secret'], 'link')\nprint(open('link').read())",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a file through a hard link",
        "os.link(target['secret'], 'link')\nprint(open('link').read())",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a file relative to the work directory",
        "print(open('../' * 40 + target['secret']).read())",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a file by a handle",
        _HANDLE,
        by="seccomp, no capabilities",
        open_at={"process as root": "root's cells keep root's privileges at level process"},
    ),
    Attack(
        "list the directory of another's files",
        "for name in os.listdir(target['place']): breach(name)",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read the journal",
        """
found = open(target["state"] + "/journal.db", "rb").read(16)
breach(found)
""",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read a stored value of another session from the journal",
        """
import sqlite3
connection = sqlite3.connect("file:" + target["state"] + "/journal.db?mode=ro", uri=True)
for (table,) in connection.execute("select name from sqlite_master where type = 'table'"):
    for row in connection.execute(f'select * from "{table}"').fetchall():
        for value in row:
            if b"canary-" in (value if isinstance(value, bytes) else str(value).encode()):
                print(repr(value))
""",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read the work directory of a sibling",
        """
above = os.path.dirname(os.getcwd())
for name in os.listdir(above):
    try:
        print(open(f"{above}/{name}/sibling.txt").read())
    except OSError:
        pass
""",
        by="Landlock, own user (root); own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "find the work directory of a sibling",
        """
above = os.path.dirname(os.getcwd())
places = []
for known in (above, os.path.join(target["state"], "work")):
    try:
        places += [os.path.join(known, name) for name in os.listdir(known)]
    except OSError:
        pass
places += [f"/proc/{target['sibling']}/cwd", f"/proc/{target['sibling']}/root/cell"]
for place in places:
    try:
        print(open(f"{place}/sibling.txt").read())
    except OSError:
        pass
""",
        by="Landlock, own user (root); own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "read secrets in the environment",
        """
print(repr(os.environ))
libc.getenv.restype = ctypes.c_char_p
print(repr(libc.getenv(b"TIDE_CANARY")))
try:
    print(open("/proc/self/environ").read())
except OSError:
    pass
""",
        by="scrubbed environment",
    ),
    Attack(
        "read the environment of the supervisor",
        """
for pid in (target["supervisor"], target["guardian"], os.getppid()):
    try:
        print(open(f"/proc/{pid}/environ").read())
    except OSError:
        pass
""",
        by="Landlock; own root without /proc",
        open_at={"process": PARENT},
    ),
    Attack("find files that were left open", _LISTING, by="closed descriptors"),
    Attack(
        "find the token of a sibling in inherited memory",
        _TOKENS,
        "a worker forgets what its zygote knew",
        _token_found,
    ),
    Attack(
        "overwrite a file",
        "open(target['secret'], 'w').write('poison')",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "truncate a file",
        "os.truncate(target['public'], 0)",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "remove a file",
        "os.remove(target['secret'])",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "replace a file by its own",
        "open('own', 'w').write('poison')\nos.rename('own', target['public'])",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "change the mode of a file",
        "os.chmod(target['secret'], 0o777)",
        by="seccomp (no effect), own user (root); own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "change the times of a file",
        "os.utime(target['public'], (1, 1))",
        by="seccomp (no effect), own user (root); own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "change the owner of a file",
        "os.chown(target['secret'], 12345, 12345)",
        by="seccomp (no effect), own user (root); own root",
        open_at={"process as root": "root's cells keep root's privileges at level process"},
    ),
    Attack(
        "mark a file with an attribute",
        "os.setxattr(target['public'], 'user.tide', b'poison')",
        by="seccomp (no effect), own user (root); own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "make a file in a directory for everybody",
        "open(target['open'] + '/poison', 'w').write('poison')",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "make a file in /tmp",
        "open('/tmp/' + target['mark'], 'w').write('poison')",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "make a file in /dev/shm",
        "open('/dev/shm/' + target['mark'], 'w').write('poison')",
        by="Landlock; own root",
        open_at={"process": OPEN},
    ),
    Attack(
        "put a module into the library",
        "open(os.path.dirname(os.__file__) + '/' + target['mark'] + '.py', 'w').write('poison')",
        by="Landlock, own user (root); read-only root",
        open_at={"process as root": OPEN},
        depends={"process as user": "whose the files of this Python are"},
    ),
    Attack(
        "mount over a directory",
        "call('mount', b'none', target['place'].encode(), b'tmpfs', 0, None)",
        by="seccomp, no capabilities",
        open_at={"process as root": "root's cells keep root's privileges at level process"},
    ),
    Attack(
        "make a device",
        "os.mknod(target['open'] + '/null', 0o600 | 0o020000, os.makedev(1, 3))",
        by="seccomp, no capabilities",
        open_at={"process as root": "root's cells keep root's privileges at level process"},
    ),
    Attack(
        "remove the socket of the workers",
        "os.remove(target['workers'] + '/worker.sock')\nbreach('removed')",
        by="Landlock; read-only root",
        open_at={"process": OPEN},
    ),
    Attack(
        "put a socket of its own beside that of the workers",
        """
for place in (target["workers"], "/workers"):
    try:
        with open(place + "/poison", "w"):
            breach("made in", place)
        os.remove(place + "/poison")
    except OSError:
        pass
""",
        by="Landlock; read-only root",
        open_at={"process": OPEN},
    ),
)
FAMILY = Family("Files and secrets", ATTACKS)
