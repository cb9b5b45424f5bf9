"""The decoder in two parts: predicted IoU first, then the logits of the masks that are wanted.

Upscaling takes a good third of the decoder's time, and predicted IoU does not need it (docs/lab/decoder-parts.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.runtimes import Session, Tensors


class TwoPartDecoder(Session):
    """A decoder and its upscaling, which together answer like a decoder in one part.

    Parameters
    ----------
    attention, upscaling : Session
        The components `decoder` and `upscaling` of a bundle whose contract has `separate_upscaling`.

    Attributes
    ----------
    attention, upscaling : Session
        As above.
    """

    def __init__(self, attention: Session, upscaling: Session) -> None:
        self.provider, self.input_names = attention.provider, attention.input_names
        self.attention, self.upscaling = attention, upscaling

    def upload(self, array: NDArray[Any]) -> Any:
        """See `Session.upload`."""
        return self.attention.upload(array)

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`. Returns `low_res_logits` and `predicted_iou`."""
        first = self.scores(inputs)
        scores = first.pop("predicted_iou")
        return {**self.upscaling.run(first), "predicted_iou": scores}

    def scores(self, inputs: Mapping[str, Any]) -> Tensors:
        """Run the first part. Returns `predicted_iou`, and what `logits` takes."""
        return {**self.attention.run(inputs), "token_size": inputs["token_size"]}

    def logits(self, first: Tensors, prompt: int, masks: Sequence[int]) -> NDArray[np.float32]:
        """Return the low-res logits of some of the masks of one prompt, (M, rows, columns).

        Parameters
        ----------
        first : dict of str to ndarray
            From `scores`.
        prompt : int
            Which of its prompts.
        masks : sequence of int
            Which of the prompt's four masks; at least one.
        """
        outputs = self.upscaling.run(
            {
                "attended_tokens": first["attended_tokens"][prompt : prompt + 1],
                "mask_weights": np.ascontiguousarray(first["mask_weights"][prompt : prompt + 1, list(masks)]),
                "token_size": first["token_size"],
            }
        )
        logits: NDArray[np.float32] = outputs["low_res_logits"][0]
        return logits
