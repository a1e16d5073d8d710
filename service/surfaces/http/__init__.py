"""HTTP on port 3000: the tasks."""
