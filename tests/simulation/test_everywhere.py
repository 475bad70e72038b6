"""Trouble at every port call of one small story: no moment is left out."""

from __future__ import annotations

import pytest
from tidemark.simulation.everywhere import Moment, Plot, Stage, Trouble
from tidemark.simulation.fuse import AFTER, BEFORE
from tidemark.simulation.plants import planted_bug
from tidemark.simulation.runs import Row, WorldFailed, run

SINGLE = [trouble for trouble in Trouble if trouble is not Trouble.CRASH_TWICE]
# Of the points of the first crash, every so manieth; each with every point of the recovery.
# `tidemark-simulate --crash-everywhere --trouble crash-twice` takes them all.
TWICE_STRIDE = 29


def _run(row: Row) -> list[Stage]:
    stages = list(row.stages())  # told what to do one by one, and run one by one
    return stages


def _struck(row: Row) -> list[Stage]:
    """Runs them all; those that trouble has struck."""
    struck = []
    for stage in row.stages():
        run(stage)
        if stage.struck is not None:
            struck.append(stage)
    return struck
