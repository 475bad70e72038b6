"""`python -m tidemark.worker`: the zygote. Started by a supervisor, not by people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import reproducible


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a zygote until nobody needs it; returns the exit status."""
    installed = reproducible.install()
    # Not before: whatever is imported from here on takes the functions that cells are to see.
    from .command_line import serve

    return serve(arguments, installed)


if __name__ == "__main__":
    sys.exit(main())
