"""Every planted bug is found, within so many seeds."""

from __future__ import annotations

import pytest

from .mutants import MUTANTS, mutant
from .promises import PromiseBroken
from .run import SeedFailed, run_seed


def _run(seeds_max: int) -> None:
    for seed in range(1, seeds_max + 1):
        run_seed(seed)


@pytest.mark.parametrize("name", list(MUTANTS))
def test_it_is_found(name: str) -> None:
    _, seeds_max = MUTANTS[name]
    with mutant(name), pytest.raises(SeedFailed) as found:
        _run(seeds_max)
    assert isinstance(found.value.__cause__, PromiseBroken), found.value


def test_the_production_code_is_as_before() -> None:
    for name in MUTANTS:
        with mutant(name):
            pass
    run_seed(1)
