"""The benchmark of the running service."""
