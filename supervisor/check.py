"""`python -m tidemark.supervisor.check`: verify the journal of a state directory."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from .looking import FAILED, ending, journal_of
from .shell.check_report import Report
from .shell.journal_check import check
from .shell.snapshot import Snapshot

_CLEAR_LINE: Final = "\r\x1b[2K"
_SHOW_SECONDS: Final = 0.2
_WHAT_TO_DO: Final = (
    "what to do: keep a copy of this directory as it is; restore it from a backup, or save what "
    "can be read with `tidemark export CELL --state DIR`. Cells that are not named above are "
    "whole and can go on; what is asked of one whose records are damaged is refused."
)
_FILE_IS_BROKEN: Final = (
    "The file itself is damaged: end the supervisor before it writes more, and look at the disk."
)


class ProgressLine:
    """What is being looked at, on a terminal only, and seldom enough not to cost anything."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()
        self._is_shown = False
        self._terminal = sys.stderr.isatty()

    def show(self, stage: str, done: int, total: int) -> None:
        """See `check_report.Progress`."""
        now = time.monotonic()
        if not self._terminal or now - self._shown_at < _SHOW_SECONDS:
            return
        self._shown_at, self._is_shown = now, True
        count = f": {done:,} of {total:,} ({100 * done // total} %)" if total else " ..."
        sys.stderr.write(f"{_CLEAR_LINE}checking {stage}{count}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take it away."""
        if self._is_shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: sound; 1: it is not, or cannot be read, and why was said."""
    parser = argparse.ArgumentParser(prog="tidemark check", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the state directory")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    options = parser.parse_args(arguments)

    def look() -> int:
        line = ProgressLine()
        with Snapshot(journal_of(options.state)) as snapshot:
            try:
                report = check(snapshot, line.show)
            finally:
                line.clear()
        (_say_json if options.json else _say)(report, options.state)
        return 0 if report.is_sound else FAILED

    return ending(look)


def _say(report: Report, state: Path) -> None:
    looked = (
        f"{report.records:,} records of {report.cells:,} cells up to number {report.last}, "
        f"{report.contents:,} contents ({report.removed:,} were removed in their time)"
    )
    if report.is_sound:
        print(f"{journal_of(state)} is sound: {looked}")
        return
    for finding in report.findings:
        print(finding)
    if report.unkept:
        print(f"and {report.unkept:,} more like these")
    count = len(report.findings) + report.unkept
    sys.stdout.flush()
    print(
        f"tidemark: {journal_of(state)} is damaged: {count:,} findings; {looked}", file=sys.stderr
    )
    print(_WHAT_TO_DO, file=sys.stderr)
    if any(finding.where == "the file" for finding in report.findings):
        print(_FILE_IS_BROKEN, file=sys.stderr)


def _say_json(report: Report, state: Path) -> None:
    for finding in report.findings:
        print(json.dumps({"type": "finding", **asdict(finding)}, ensure_ascii=False))
    counts = asdict(report)
    del counts["findings"]
    sound = {"type": "report", "journal": str(journal_of(state)), "sound": report.is_sound}
    print(json.dumps({**sound, **counts}, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
