"""Every planted bug is found, within so many seeds, by the promise that it breaks."""

from __future__ import annotations

import pytest
from tidemark.simulation.planting import Plant
from tidemark.simulation.plants import PLANTS, planted_bug
from tidemark.simulation.promise import Promise, PromiseBroken
from tidemark.simulation.runs import WorldFailed, run_seed

ENOUGH = 15


def _is_found(plant: Plant, promise: Promise) -> bool:
    """Passes over what else breaks; what merely fails by itself shows nothing."""
    for seed in range(1, plant.seeds_max + 1):
        try:
            run_seed(seed)
        except WorldFailed as failed:
            broken = failed.__cause__
            if isinstance(broken, PromiseBroken) and broken.promise is promise:
                return True
    return False


@pytest.mark.timeout(180)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=str)
def test_it_is_found(plant: Plant) -> None:
    with planted_bug(plant.name):
        assert _is_found(plant, plant.by)


def test_there_are_enough() -> None:
    assert len(PLANTS) >= ENOUGH


def test_the_production_code_is_as_before() -> None:
    for name in PLANTS:
        with planted_bug(name):
            pass
    run_seed(1)
