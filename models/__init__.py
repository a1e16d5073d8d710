"""Architectures only: torch modules, one file per family, and the tables of their variants."""
