"""Small helpers for files: safe reads of what may be anything, writes that are whole or absent."""
