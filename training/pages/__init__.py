"""Pages of what was measured: each is written by a command, its words by us."""
