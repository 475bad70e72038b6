"""The host-facing API: one pure core (`_core`, `_held`, `_handles`), two thin shells.

Import from `tidemark`, not from here.
"""
