"""Captioners: trained word by word, measured by the words that people wrote."""
