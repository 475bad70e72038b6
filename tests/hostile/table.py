"""All attacks, where they are tried, and the tables made of them."""

from __future__ import annotations

import os
from typing import Final

from fakes.hostile_ground import Place
from hostile import bombs, endings, files, floods, inside, processes, sockets, traps, values, wire
from hostile import kernel_calls as calls
from hostile.attack import Attack, Family

FAMILIES: Final[tuple[Family, ...]] = (
    files.FAMILY,
    sockets.FAMILY,
    processes.FAMILY,
    calls.FAMILY,
    bombs.FAMILY,
    endings.FAMILY,
    floods.FAMILY,
    wire.FAMILY,
    values.FAMILY,
    inside.FAMILY,
    traps.FAMILY,
)
ATTACKS: Final[tuple[Attack, ...]] = tuple(each for one in FAMILIES for each in one.attacks)
LEVELS: Final = ("process", "restricted", "sealed")
PLACES: Final = tuple(Place(level, who) for level in LEVELS for who in ("root", "user"))


def places(option: str) -> list[Place]:
    """The places that an option names: `usual`, `all`, or some, such as `sealed as user`."""
    if option == "usual":
        who = "root" if os.geteuid() == 0 else "user"
        return [Place("sealed", who), Place("process", who)]
    if option == "all":
        return list(PLACES)
    known = {str(place).replace(" ", "-"): place for place in PLACES}
    return [known[name.strip().replace(" ", "-")] for name in option.split(",")]


def of_results(results: dict[tuple[str, str], str]) -> str:
    """What came of each attack at each place, as text; an attack that achieved nothing is held."""
    seen = [str(place) for place in PLACES if any(place_ == str(place) for _, place_ in results)]
    lines = [f"{'':58}" + "".join(f"{name:22}" for name in seen)]
    for attack in ATTACKS:
        words = ["-" if (attack.name, place) not in results else "held" for place in seen]
        for column, place in enumerate(seen):
            if results.get((attack.name, place)):
                words[column] = "NOT STOPPED"
        if set(words) != {"-"}:
            lines.append(f"{attack.name:58}" + "".join(f"{word:22}" for word in words))
    return "\n".join(lines)


def markdown() -> str:
    """The expected results, for a document: attack by level, and why what is not stopped is not."""
    reasons: dict[str, int] = {}
    lines = []
    for family in FAMILIES:
        lines += [f"**{family.name}**", "", f"| attack | {' | '.join(LEVELS)} | stopped by |"]
        lines.append("|---|---|---|---|---|")
        for attack in family.attacks:
            cells = [_told(attack, level, reasons) for level in LEVELS]
            lines.append(f"| {attack.name} | {' | '.join(cells)} | {attack.by} |")
        lines.append("")
    lines += ["Why what is not stopped is not:", ""]
    lines += [f"{number}. {reason}." for reason, number in reasons.items()]
    return "\n".join(lines)


def _told(attack: Attack, level: str, reasons: dict[str, int]) -> str:
    """One cell of the table; root and an ordinary user apart where they differ."""
    by_who = {who: _word(attack, Place(level, who), reasons) for who in ("root", "user")}
    if by_who["root"] == by_who["user"]:
        return by_who["root"]
    return f"root: {by_who['root']}; user: {by_who['user']}"


def _word(attack: Attack, place: Place, reasons: dict[str, int]) -> str:
    for reason, word in (
        (attack.expected_open(place), "not stopped"),
        (attack.machine_decides(place), "depends"),
    ):
        if reason:
            return f"{word} ({reasons.setdefault(reason, len(reasons) + 1)})"
    return "held"
