"""The README's comparison, from one run's figures: `python bench/readme_table.py FIGURES.json`.

Without figures it compares: exit status 1 when the README is not what its figures say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from report import markdown, shape

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"
BLOCK = re.compile(r"<!-- figures: (\S*) -->\n.*?<!-- end of figures -->", re.DOTALL)
Figures = dict[str, Any]
# What is compared where times are not: pieces per second.
RATES = {"burst"}
MANY = re.compile(r"cycle-\d+")


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=Path, nargs="?", help="the JSON of bench/run.py")
    asked = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    found = BLOCK.search(text)
    if found is None:
        print(f"{readme} has no place for figures: {BEGIN} and {END}", file=sys.stderr)
        return 2
    path = asked.figures.resolve() if asked.figures else ROOT / found[1]
    name = path.relative_to(ROOT).as_posix()
    wanted = BLOCK.sub(lambda _: block(name, json.loads(path.read_text())), text)
    if asked.figures:
        readme.write_text(wanted, encoding="utf-8")
    elif wanted != text:
        print(f"README.md differs: run bench/readme_table.py {name}", file=sys.stderr)
        return 1
    return 0


def block(name: str, figures: Figures) -> str:
    """All between the two marks, the marks included."""
    facts = figures["machine"]
    rows = [["work", "Tidemark", "hand-written minimum", "peers, fastest first"]]
    for case, found in figures["cases"].items():
        if not MANY.fullmatch(case) or case in {"cycle-1", "cycle-64"}:
            rows.append(row(case, found))
    machine = (
        f"One run of `bench/run.py` on {facts['when'][:10]}, commit `{facts['commit']}`: "
        f"{facts['cores']} cores with load {facts['load']} at its start, Linux {facts['kernel']}, "
        f"Python {facts['python']}, one `fdatasync` {facts['sync_ms']} ms, "
        f'durability "{facts["durability"]}". Medians; p99 is in [the figures]({name}), '
        "what they can bear in [bench/README.md](bench/README.md). **Bold**: faster, or smaller, "
        "than Tidemark."
    )
    return "\n".join([BEGIN.format(name), machine, "", markdown(rows), "", END])


def row(case: str, found: Figures) -> list[str]:
    """One kind of work: Tidemark, the minimum, and the peers in the order of their figures."""
    has_rate = case in RATES or found["cells"] > 1
    key, unit = ("per_second", "/s") if has_rate else ("p50", found["unit"])
    sides = {name: side for name, side in found["sides"].items() if "missing" not in side}
    mine, minimum = sides.pop("tidemark", None), sides.pop("minimum", None)
    level = found["levels"].get("tidemark")
    own = told(mine, key, unit)
    if mine:
        own += f" ({level + ', ' if level else ''}n {mine['n']:,})"
    floor = told(minimum, key, unit)
    if mine and minimum and mine[key] and minimum[key]:
        floor += f" ({mine[key] / minimum[key]:.2f} x)"
    others = sorted(sides.items(), key=lambda side: side[1][key], reverse=has_rate)
    said = [compared(name, told(side, key, unit), side[key], mine, key) for name, side in others]
    missing = [
        f"{name}: {side['missing']}" for name, side in found["sides"].items() if "missing" in side
    ]
    return [found["what"], own, floor, "; ".join(said + missing)]


def compared(name: str, shown: str, figure: float, mine: Figures | None, key: str) -> str:
    """A peer's figure, in bold where it wins."""
    if mine is None or not mine[key]:
        return f"{name} {shown}"
    wins = figure > mine[key] if key == "per_second" else figure < mine[key]
    return f"**{name} {shown}**" if wins else f"{name} {shown}"


def told(side: Figures | None, key: str, unit: str) -> str:
    """A figure with its unit."""
    if side is None or side[key] is None:
        return "not measured"
    digits = 0 if side[key] >= 100 else 2
    return f"{shape(side[key], digits)} {unit}".replace(" /s", "/s")


if __name__ == "__main__":
    sys.exit(main())
