"""The serving process, and several of them under one supervisor."""
