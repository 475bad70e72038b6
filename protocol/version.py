"""The release, told to peers and shown to people. pyproject.toml has the same; a test compares."""

from typing import Final

VERSION: Final = "0.1.0"
