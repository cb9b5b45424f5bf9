"""Smaller and faster weights: calibration, int8 and fp16. Nothing is here yet."""
