"""The data engine: photographs in, a data set of masks out, on one machine or on many."""
