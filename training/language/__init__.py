"""Recognisers of languages: trained on pieces of text, measured through the serving engine."""
