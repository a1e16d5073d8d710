"""Classifiers: trained on images and classes, calibrated, measured through the serving engine."""
