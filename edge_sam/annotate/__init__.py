"""The data engine: from photographs to a data set of masks, on one machine or many."""
