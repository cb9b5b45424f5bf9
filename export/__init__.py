"""Convert SAM-family checkpoints to model bundles. Needs the extra `export`."""
