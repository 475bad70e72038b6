"""A small world explored completely; see `fakes.small.explorer`. `--help` tells the sizes."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from fakes.small.explorer import main

    sys.exit(main())
