"""How wide the terminal is, as `shutil` would say, which brings four compressors."""

from __future__ import annotations

import os
from typing import Final

_USUAL: Final = 80
_DIGITS_MAX: Final = 6
_STANDARD_OUTPUT: Final = 1


def columns() -> int:
    """Columns of the terminal, or what COLUMNS says, or 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and len(given) < _DIGITS_MAX and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(_STANDARD_OUTPUT).columns or _USUAL
    except OSError:
        return _USUAL
