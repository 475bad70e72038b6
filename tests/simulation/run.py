"""Any number of seeds: `python tests/simulation/run.py --seeds 10000 --first 1`.

Prints a line per broken promise, with its story; exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.world import World


class SeedFailed(AssertionError):
    """A seed whose world broke; the text has its story."""


def run_seed(seed: int) -> World:
    """One world from its beginning to its end.

    Raises:
        SeedFailed: something was not as promised, or failed by itself.
    """
    world = World(seed)
    try:
        world.run()
    except Exception as error:
        raise SeedFailed(f"{world.told()}\n{type(error).__name__}: {error}") from error
    return world


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--story", action="store_true", help="print the story also without a fault")
    options = parser.parse_args()
    broken = 0
    began = time.perf_counter()
    for seed in range(options.first, options.first + options.seeds):
        try:
            world = run_seed(seed)
        except SeedFailed as error:
            broken += 1
            print(error if options.seeds == 1 else f"seed {seed}: {str(error).splitlines()[-1]}")
        else:
            if options.story:
                print(world.told())
    took = time.perf_counter() - began
    print(f"{options.seeds} seeds, {broken} broken, {took:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
