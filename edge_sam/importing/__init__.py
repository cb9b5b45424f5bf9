"""Importing models that others exported: reading their graphs, checking them, and writing a bundle."""
