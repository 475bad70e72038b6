"""Every planted bug is found, within so many seeds."""

from __future__ import annotations

import pytest
from tidemark.simulation.plants import PLANTS, planted_bug
from tidemark.simulation.promises import PromiseBroken
from tidemark.simulation.runs import WorldFailed, run_seed


def _run(seeds_max: int) -> None:
    for seed in range(1, seeds_max + 1):
        run_seed(seed)


@pytest.mark.parametrize("name", list(PLANTS))
def test_it_is_found(name: str) -> None:
    with planted_bug(name), pytest.raises(WorldFailed) as found:
        _run(PLANTS[name].seeds_max)
    assert isinstance(found.value.__cause__, PromiseBroken), found.value


def test_the_production_code_is_as_before() -> None:
    for name in PLANTS:
        with planted_bug(name):
            pass
    run_seed(1)
