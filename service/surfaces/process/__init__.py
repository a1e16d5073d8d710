"""The process that serves, and the supervisor of several."""
