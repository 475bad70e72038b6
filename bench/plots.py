"""Plots of figures that were taken. They need matplotlib, which `tox -e bench` installs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Line = tuple[str, Sequence[float], Sequence[float]]
NO_PLOTS = "no plots: matplotlib is not installed; pip install matplotlib, or use tox -e bench"


def lines(
    path: Path, title: str, x: str, y: str, drawn: Sequence[Line], scale: str = "log"
) -> bool:
    """Draw lines into a PNG; whether there is something to draw with."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, across, up in drawn:
        axes.plot(across, up, marker="o", markersize=3, label=name)
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xscale(scale)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    return True


def panels(path: Path, title: str, x: str, drawn: Sequence[Line]) -> bool:
    """One small plot below the other, over the same axis; whether there is matplotlib."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.7 * len(drawn) + 1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    each = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)
    for axes, (name, across, up) in zip(each[:, 0], drawn, strict=True):
        axes.plot(across, up, linewidth=1)
        axes.set_ylabel(name, fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    each[-1, 0].set_xlabel(x)
    figure.savefig(path)
    return True


def of_run(figures: Figures, path: Path) -> str:
    """Cycle latency and throughput against cells, beside the JSON; what could not be drawn."""
    by_cells = {
        case["cells"]: case["sides"]
        for name, case in figures["cases"].items()
        if name.removeprefix("cycle-").isdecimal()
    }
    if len(by_cells) < 2:
        return ""
    sides = [name for name in next(iter(by_cells.values())) if name in by_cells[max(by_cells)]]
    facts = figures["machine"]
    title = f"durable tool cycle, {facts['durability']}, {facts['cores']} cores, {facts['commit']}"
    for key, unit in (("p50", "ms, median"), ("per_second", "cycles per second")):
        drawn: list[Line] = []
        for side in sides:
            found = [
                (cells, sides_[side].get(key))
                for cells, sides_ in by_cells.items()
                if side in sides_
            ]
            kept = sorted((cells, value) for cells, value in found if value is not None)
            if kept:
                drawn.append((side, [at for at, _ in kept], [value for _, value in kept]))
        name = "latency" if key == "p50" else "throughput"
        if not lines(path.with_suffix(f".{name}.png"), title, "pausable cells", unit, drawn):
            return NO_PLOTS
    return ""
