"""Deployment: images, compose, dashboards, and the bench."""
