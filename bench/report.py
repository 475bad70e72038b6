"""From blocks to figures: percentiles, ratios, what was to be reached, and one table."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cases import Case, Must
from contender import Block

P99_COUNT_MIN = 200  # below that a 99th percentile is one or two outliers
SCALE = {"ms": 1_000.0, "MB": 1e-6}
Figures = dict[str, Any]


def percentile(ordered: list[float], percent: float) -> float:
    """The value below which so many percent lie; of a sorted list that is not empty."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def side_figures(blocks: list[Block], case: Case) -> Figures:
    """What one contender did, in the case's unit."""
    scale = SCALE[case.unit]
    ordered = sorted(piece * scale for block in blocks for piece in block.pieces)
    wall, commits = sum(block.wall for block in blocks), sum(block.commits for block in blocks)
    has_p99 = len(ordered) >= P99_COUNT_MIN
    figures: Figures = {
        "n": len(ordered),
        "p50": percentile(ordered, 50),
        "p99": percentile(ordered, 99) if has_p99 else None,
        "per_second": len(ordered) / wall if case.has_rate else None,
        "commits": commits / len(ordered) if commits else None,
        "frontiers": len(ordered) / commits if commits and case.cells > 1 else None,
    }
    return figures


def case_figures(case: Case) -> Figures:
    """All sides of a case, with their ratios to the minimum, and what was to be reached."""
    sides: Figures = {
        name: side_figures(blocks, case) for name, blocks in case.blocks.items() if blocks
    }
    minimum = sides.get("minimum")
    for side in sides.values():
        side["x"] = {
            name: side[name] / minimum[name] if minimum and minimum[name] and side[name] else None
            for name in ("p50", "p99", "per_second")
        }
    sides |= {name: {"missing": why} for name, why in case.missing.items()}
    return {
        "what": case.what,
        "unit": case.unit,
        "cells": case.cells,
        "levels": case.levels,
        "sides": sides,
        "musts": [_must(must, sides) for must in case.musts],
    }


def _must(must: Must, sides: Figures) -> Figures:
    """Whether it was reached; None where one of the figures is not there."""
    mine = sides.get("tidemark", {}).get(must.figure)
    if must.against == "":
        theirs, is_more = 1.0, True
    else:
        theirs = sides.get(must.against, {}).get(must.figure)
        is_more = must.figure == "per_second"
    said = {"figure": must.figure, "times": must.times, "against": must.against}
    if mine is None or theirs is None:
        return said | {"found": None, "met": None}
    found = mine / theirs
    return said | {"found": found, "met": found >= must.times if is_more else found <= must.times}


def shape(value: float | None, digits: int = 2) -> str:
    """A figure as it is shown."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.{digits}f}"


COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("n", lambda side: f"{side['n']:,}"),
    ("p50", lambda side: shape(side["p50"])),
    ("p99", lambda side: shape(side["p99"])),
    ("per s", lambda side: shape(side["per_second"], 1)),
    ("x p50", lambda side: shape(side["x"]["p50"])),
    ("x p99", lambda side: shape(side["x"]["p99"])),
    ("x per s", lambda side: shape(side["x"]["per_second"])),
    ("commits", lambda side: shape(side["commits"])),
    ("fr/commit", lambda side: shape(side["frontiers"], 1)),
)


def table(cases: dict[str, Figures]) -> str:
    """The figures as a table; also valid Markdown. A row for each side of each case."""
    rows = [["case", "who", "unit", *(name for name, _ in COLUMNS), "must"]]
    for name, case in cases.items():
        for who, side in case["sides"].items():
            level = case["levels"].get(who)
            shown = f"{who} ({level})" if level else who
            if "missing" in side:
                rows.append([name, shown, "", *("" for _ in COLUMNS), side["missing"]])
                continue
            musts = "; ".join(map(told, case["musts"])) if who == "tidemark" else ""
            rows.append([name, shown, case["unit"], *(read(side) for _, read in COLUMNS), musts])
    return markdown(rows)


def told(must: Figures) -> str:
    """One thing that was to be reached, in words."""
    against = f" x {must['against']}" if must["against"] else ""
    is_more = must["figure"] in {"per_second", "frontiers"}
    wanted = f"{must['figure']} {'>=' if is_more else '<='} {must['times']:g}{against}"
    if must["met"] is None:
        return f"{wanted}: not measured"
    return f"{wanted}: {'met' if must['met'] else 'NOT met'}, {must['found']:.2f}"


def markdown(rows: list[list[str]]) -> str:
    """Rows as a table whose columns are aligned; the first row is the heading."""
    widths = [max(len(row[at]) for row in rows[1:] + rows[:1]) for at in range(len(rows[0]))]
    widths[-1] = len(rows[0][-1])
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join(lines)


def shuffled(names: list[str], seed: int, turn: int) -> list[str]:
    """An order for one round, that the seed repeats."""
    order = list(names)
    random.Random(seed * 1_000_003 + turn).shuffle(order)
    return order
