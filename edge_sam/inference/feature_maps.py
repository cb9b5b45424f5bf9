"""From the encoder's outputs to the feature maps of the frame that the decoder takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes import Tensors


def frame_features(outputs: Tensors, padding: NDArray[np.float32] | None) -> Tensors:
    """Remove the first axis, and fill the image embedding up with the embedding of padding if the family pads.

    Parameters
    ----------
    outputs : dict of str to ndarray of float32, (1, rows, columns, channels)
        Of the encoder.
    padding : ndarray of float32, (64, 64, 256), or None
        The model's constant of that name.
    """
    maps = {name: array[0] for name, array in outputs.items()}
    if padding is not None:
        rows, columns, _ = maps["image_embedding"].shape
        frame = padding.copy()
        frame[:rows, :columns] = maps["image_embedding"]
        maps["image_embedding"] = frame
    return maps
