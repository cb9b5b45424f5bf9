"""Evaluation of masks: datasets with ground truth, named protocols, scores with confidence intervals."""
