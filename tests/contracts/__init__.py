"""One suite per port, run on the real thing and on the fake."""
