"""Attacks by strange values: what a cell says and stores, and the text of its source."""

from __future__ import annotations

from hostile.attack import Attack, Family, Scene

_CHECKED = "values are checked where they are given, and again by the supervisor"


def _well(scene: Scene) -> str:
    """The cell ends by itself, as a cell does."""
    if scene.event is None:
        return "the cell hangs"
    reason = scene.event.reason
    if reason not in ("ended", "raised", "refused", "limit"):
        return f"the cell was {reason}: {scene.event.error!r:.300}"
    return ""


def _value(name: str, source: str) -> Attack:
    return Attack(name, source, _CHECKED, _well, may_break="on purpose")


_EVERYWHERE = """
async def everywhere(value):
    for act in (text, print, notify, lambda v: store("key", v), lambda v: store(v, 1), load, image):
        try:
            act(value)
        except (TypeError, ValueError, RecursionError, UnicodeError, AttributeError, OSError):
            pass
    try:
        await tools.echo(value=value)
    except (TypeError, ValueError, RecursionError, UnicodeError, ToolError, AttributeError):
        pass
"""


def _everywhere(name: str, expression: str, before: str = "") -> Attack:
    """A value that is given to everything that takes one."""
    return _value(name, f"{_EVERYWHERE}{before}\nawait everywhere({expression})\nexit(1)")


ATTACKS = (
    _everywhere("half a surrogate pair", "'\\ud800'"),
    _everywhere("a nul character", "'\\0' * 100"),
    _everywhere("control characters of terminals", "'\\x1b]0;tide\\x07\\x1b[2J'"),
    _everywhere("no number", "float('nan')"),
    _everywhere("infinity", "float('inf')"),
    _everywhere("a number of too many digits", "10 ** 4000"),
    _everywhere("lists of themselves", "nest", "nest = []\nnest.append(nest)"),
    _everywhere(
        "lists ten thousand deep", "nest", "nest = []\nfor _ in range(10_000): nest = [nest]"
    ),
    _everywhere("a list of a million", "[0] * 10**6"),
    _everywhere("a text beyond a message", "'x' * (20 * 2**20)"),
    _everywhere("keys that are no strings", "{(1, 2): 3, None: 4, b'x': 5}"),
    _everywhere(
        "a text that lies about itself",
        "Liar('x')",
        """
class Liar(str):
    def __len__(self): return -1
    def encode(self, *_): return b"\\xff" * 10**6
    def __str__(self): raise SystemExit(3)
""",
    ),
    _everywhere(
        "a class that lies about its class",
        "Liar()",
        """
class Liar:
    @property
    def __class__(self): return dict
    def items(self): raise KeyboardInterrupt
    def __getattr__(self, name): return self
    def __call__(self, *_): return self
""",
    ),
    _everywhere(
        "an image that is none",
        "Picture()",
        """
class Picture:
    def _repr_png_(self): return "x" * 10**7
    def savefig(self, file, **_): file.write(b"y" * 10**7)
""",
    ),
    _value("the name of a tool that is none", "await tools['\\0' * 300](value=1)"),
    _value("an image of a far place", "image('http://127.0.0.1:%d/x.png' % target['tcp'])"),
    _value("an image of a file", "image('file://' + target['secret'])"),
    _value("an exit that exits", "class X:\n    def __repr__(self): exit(9)\nexit(X())"),
    _value("an exit in an exit", "try:\n    exit(1)\nfinally:\n    exit(2)"),
    _value(
        "an exception that raises",
        """
class Bad(Exception):
    def __str__(self): raise self
    __repr__ = __str__
    def __getattribute__(self, name): raise Bad()
raise Bad()
""",
    ),
    _value("an exception of 100 MB", "raise ValueError('x' * 10**8)"),
    _value(
        "a chain of ten thousand exceptions",
        """
last = None
for _ in range(10_000):
    error = ValueError("tide")
    error.__cause__ = last
    last = error
raise last
""",
    ),
    _value(
        "an exception with ten thousand others in it",
        "raise ExceptionGroup('tide', [ValueError('x' * 1000)] * 10_000)",
    ),
    _value(
        "an exception whose class forges ours",
        "class SystemExit(BaseException):\n    code = 0\nraise SystemExit",
    ),
    _value(
        "a source that is deep",
        "try:\n    eval('(' * 5000 + ')' * 5000)\nexcept SyntaxError:\n    exit(1)",
    ),
    _value(
        "a source of unary signs",
        "try:\n    eval('-' * 10**6 + '1')\n"
        "except (SyntaxError, MemoryError, RecursionError):\n    exit(1)",
    ),
)
FAMILY = Family("Strange values", ATTACKS)
