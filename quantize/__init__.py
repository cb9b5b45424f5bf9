"""Quantising a model bundle: calibration, int8, fp16, sensitivity and the accuracy gate."""
