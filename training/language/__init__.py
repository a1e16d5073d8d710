"""Language recognisers: trained on pieces of text, measured through the serving engine."""
