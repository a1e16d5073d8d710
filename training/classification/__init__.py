"""Classifiers: trained on images and classes, calibrated, exported, measured through the serving engine."""
