"""The protocols of labelling tools, one file each."""
