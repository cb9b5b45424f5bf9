"""Export in the layouts that other programs read: their names, types and order of tensors around a bundle's graphs."""
