"""Every attack, at the places that `--places` names, against what the table expects."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fakes.hostile_ground import Ground
from hostile import floods, inside, table
from hostile.attack import Attack, carry_out

ATTACKS_MIN = 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("attack", table.ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_attack(attack: Attack, ground: Ground, results: dict[tuple[str, str], str]) -> None:
    achieved = carry_out(attack, ground)
    results[attack.name, str(ground.place)] = achieved
    if attack.machine_decides(ground.place):
        return
    reason = attack.expected_open(ground.place)
    if reason:
        assert achieved, f"held at {ground.place}, though listed as not stopped: {reason}"
    else:
        assert not achieved, f"at {ground.place}: {achieved}"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "attack", [*inside.ATTACKS, *floods.ATTACKS], ids=lambda attack: attack.name.replace(" ", "-")
)
def test_attack_from_a_spare_worker(attack: Attack, ground_with_spares: Ground) -> None:
    achieved = carry_out(attack, ground_with_spares)
    place = ground_with_spares.place
    if not attack.machine_decides(place):
        assert bool(achieved) == bool(attack.expected_open(place)), achieved


def test_the_table_is_complete_and_unambiguous() -> None:
    names = Counter(attack.name for attack in table.ATTACKS)
    assert len(names) >= ATTACKS_MIN
    assert not [name for name, count in names.items() if count > 1]
    known = {*table.LEVELS, *map(str, table.PLACES)}
    for attack in table.ATTACKS:
        listed = {*attack.open_at, *attack.depends}
        assert listed <= known, attack.name
        assert not {"sealed", "sealed as root", "sealed as user"} & set(attack.open_at), attack.name


def test_the_document_has_this_table(root: Path, expected: Any) -> None:
    path = root / "docs/SECURITY.md"
    parts = re.split(
        r"(<!-- generated: attacks\b.*?-->\n).*(\n<!-- generated: end of attacks -->)",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert len(parts) == 4, f"{path} has lost its markers"
    before, begin, end, after = parts
    expected.check(path, f"{before}{begin}\n{table.markdown()}\n{end}{after}")
