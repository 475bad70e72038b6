"""A world so small that every one of its states can be visited; see `explorer`."""
