"""`python -m tidemark.supervisor.export`: one cell's history from the journal, as JSON lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..protocol.errors import JournalError
from ..protocol.values import NotPlainData
from .looking import ending, journal_of
from .shell.journal_export import exported
from .shell.snapshot import Snapshot


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when there is no such cell or journal, and why was said."""
    parser = argparse.ArgumentParser(prog="tidemark export", description=__doc__)
    parser.add_argument("cell", metavar="CELL", help="the cell's id")
    parser.add_argument("--state", type=Path, required=True, help="the state directory")
    options = parser.parse_args(arguments)

    def write() -> int:
        with Snapshot(journal_of(options.state)) as snapshot:
            try:
                for record in exported(snapshot, options.cell):
                    print(json.dumps(record, ensure_ascii=False))
            except (ValueError, NotPlainData) as error:
                raise JournalError(
                    f"the journal cannot be read on ({error}); "
                    f"`tidemark check --state {options.state}` says what is damaged"
                ) from error
        return 0

    return ending(write)


if __name__ == "__main__":
    sys.exit(main())
