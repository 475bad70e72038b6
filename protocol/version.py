"""The release, told to peers and shown to people. pyproject.toml has the same; a test compares."""

from typing import Final

VERSION: Final = "0.1.0"
#: Raised when a cell would do something else in a later life than under the version before.
REPLAY_VERSION: Final = 1
