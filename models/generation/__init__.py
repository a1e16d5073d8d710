"""Generative networks, and representations that are learnt without labels."""
