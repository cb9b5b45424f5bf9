"""Pixels and geometry: reading photographs and label images, coordinates, masks."""
