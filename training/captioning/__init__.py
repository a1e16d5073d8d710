"""Captioners: trained word by word, measured against captions that people wrote."""
