"""Architectures only: torch modules, one file a lecture system, and the table of their variants."""
