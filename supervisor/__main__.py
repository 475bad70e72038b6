"""`python -m tidemark.supervisor`: a supervisor for one state directory, in the foreground."""

from __future__ import annotations

import gc
import sys

from .shell import zygote_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the end. Exit status 1: it could not start, and said why."""
    gc.disable()  # until all is imported, which leaves hardly anything to be found
    words = sys.argv[1:] if arguments is None else arguments
    zygote = zygote_start.begin(words)
    # Only now: while this is imported, the zygote imports what it needs on the other core.
    from .command_line import serve

    return serve(words, zygote)


if __name__ == "__main__":
    sys.exit(main())
