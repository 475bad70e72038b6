"""`python -m tidemark.worker`: the zygote. Started by a supervisor, not by people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import hash_of_none


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a zygote until nobody needs it; returns the exit status."""
    hash_of_none.make_constant()
    # Not before: what is imported from here on has constants with that hash,
    from . import reproducible

    installed = reproducible.install()
    # and from here on takes the functions that cells are to see.
    from .command_line import serve

    return serve(arguments, installed)


if __name__ == "__main__":
    sys.exit(main())
