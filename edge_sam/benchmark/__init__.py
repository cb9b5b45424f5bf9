"""Benchmarks of every runtime: stages, operators, memory and energy, under one protocol."""
