"""BLAKE2b, which all digests and tokens here are made with.

`hashlib` has the same one, and loads OpenSSL for the others: 4 ms of each start, and pages that
every worker would share with its zygote.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b as blake2b
except ImportError:  # a Python that was built without its own
    from hashlib import blake2b as blake2b
