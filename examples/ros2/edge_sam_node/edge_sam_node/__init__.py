"""Tracking prompted objects through an image topic."""
