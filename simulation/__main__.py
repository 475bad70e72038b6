"""`python -m tidemark.simulation`: the same as `tidemark-simulate`."""

from __future__ import annotations

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
