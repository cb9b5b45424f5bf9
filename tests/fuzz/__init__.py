"""Fuzzing of everything that reads files of others; see docs/lab/fuzzing.md."""
