"""`python -m tidemark.worker`: the zygote. Started by a supervisor, not by people."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from . import hash_of_none


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a zygote until nobody needs it; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    gc.disable()  # imports leave nothing to be found; see `rehearse`
    hash_of_none.make_constant()
    if not _is_open(words):
        _import_asyncio_without_tls()
    # Not before: what is imported from here on has constants with that hash,
    from . import reproducible

    installed = reproducible.install()
    # and from here on takes the functions that cells are to see.
    from .command_line import serve

    return serve(arguments, installed)


def _is_open(words: Sequence[str]) -> bool:
    """Whether cells have a network; known before what reads options can be imported."""
    at = words.index("--level") if "--level" in words else -1
    return at < 0 or words[at + 1 : at + 2] == ["process"]


def _import_asyncio_without_tls() -> None:
    """A tenth of what a worker shares with its zygote, and each fork and end would cost more.

    Cells import `ssl` as ever; it is asyncio that does without, in which no connection can be made.
    """
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


if __name__ == "__main__":
    sys.exit(main())
