"""What every tier of tests shares: the options and the root of the checkout."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# Whoever runs the tests in the background may have Ctrl-C ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the expected texts (golden frames, transcripts, generated docs) anew; "
        "read the difference before you commit it",
    )
    parser.addoption(
        "--power-cuts",
        type=int,
        default=120,
        help="moments at which the power fails in tests/contracts/test_power_cut.py",
    )
    parser.addoption(
        "--places",
        default="usual",
        help="where tests/hostile attacks: usual (sealed and process, as who runs the tests), all, "
        "or some of sealed-as-root, sealed-as-user, restricted-as-root, ..., with commas",
    )
    parser.addoption(
        "--attacks",
        action="store_true",
        help="print what came of each attack of tests/hostile",
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout, which is also the root of the package."""
    return ROOT


class Expected:
    """Texts in the repository that tests compare with, or write with `--rewrite`."""

    def __init__(self, *, rewrite: bool) -> None:
        self._rewrite = rewrite

    def check(self, path: Path, actual: str) -> None:
        """Fail unless the file holds exactly this text (with `--rewrite`: make it so)."""
        if self._rewrite:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing; write it with: pytest --rewrite"
        assert path.read_text(encoding="utf-8") == actual, (
            f"{path} differs; if that is wanted: pytest --rewrite, then read the difference"
        )


@pytest.fixture(scope="session")
def expected(request: pytest.FixtureRequest) -> Expected:
    """Compares with a committed text; `pytest --rewrite` writes it instead."""
    return Expected(rewrite=bool(request.config.getoption("--rewrite")))
