"""A cell that says much goes on: what it waits for is acknowledged before it can stand still."""

from __future__ import annotations

import pytest
import tidemark

SMALL = "for n in range(20_000): print(n)\n"
LARGE = "for n in range(6): text('x' * 3_000_000)\n"
NOTICES = "for n in range(20_000): notify('')\ntext('said')\n"
ARGUMENTS = "for n in range(5): await tools.echo(value='x' * 3_000_000)\ntext('called')\n"


def echo(value: str) -> int:
    """The size of what came."""
    return len(value)


@pytest.mark.parametrize(
    ("source", "items"),
    [
        pytest.param(SMALL, 20_000, id="many small items: their overhead fills the window"),
        pytest.param(LARGE, 6, id="few large items: each is more than the window"),
        pytest.param(NOTICES, 1, id="notifications without content"),
        pytest.param(ARGUMENTS, 1, id="arguments larger than the window"),
    ],
)
def test_a_cell_that_says_more_than_its_window_does_not_stand_still(
    source: str, items: int
) -> None:
    with tidemark.Session(tools=[echo]) as session:
        cell = session.create_cell(source)
        output: list[tidemark.OutputItem] = []
        event: object = None
        while not isinstance(event, tidemark.Completed):
            event = cell.observe(5)
            assert isinstance(event, tidemark.Yielded | tidemark.Completed)
            output += event.output
        assert event.reason == "ended", event.error
        assert [item.index for item in output] == list(range(items))
