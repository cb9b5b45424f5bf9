"""How good masks are: datasets with ground truth, named protocols, scores with their uncertainty."""
