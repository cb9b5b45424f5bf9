"""Following prompted objects through an image topic."""
