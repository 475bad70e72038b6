"""Mutated messages on both sockets: each is read or refused, soon, and leaves nothing behind."""

from __future__ import annotations

import pytest

from fuzz.run import READERS, fuzz


@pytest.mark.timeout(300)
def test_mutated_messages_are_read_or_refused() -> None:
    outcomes = fuzz(seed=1, messages=50_000)
    for name in READERS:
        # Neither all right nor all wrong: else the mutations reach only one side of the checks.
        assert outcomes[f"{name} read"] > 500
        assert outcomes[f"{name} refused"] > 500
