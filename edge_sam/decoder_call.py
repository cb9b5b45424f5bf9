"""One call of the decoder about an image embedding, for prompts that all have a mask or all have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import TOKEN
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.model import LoadedModel
from edge_sam.inference.shape_ranges import check_points
from edge_sam.inference.token_list import decoder_tokens
from edge_sam.preference import AMBIGUOUS
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.runtimes import Tensors


class GoodMasks(NamedTuple):
    """Those of the three masks of an ambiguous prompt whose predicted IoU is high enough."""

    logits: NDArray[np.float32]
    """Low-res logits of the encoded tokens, (M, rows, columns); 0 to 3 of them."""
    scores: NDArray[np.float32]
    """Predicted IoU of each, (M,)."""


def answer(model: LoadedModel, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> Tensors:
    """Return the decoder's outputs for these prompts."""
    return model.decoder.run(_inputs(model, embedding, prompts))


def good_masks(
    model: LoadedModel, embedding: ImageEmbedding, prompts: Sequence[Prompt], least: float
) -> list[GoodMasks]:
    """Return the masks of each prompt whose predicted IoU is above `least`, and compute no others if possible."""
    inputs, decoder = _inputs(model, embedding, prompts), model.decoder
    outputs = decoder.scores(inputs) if isinstance(decoder, TwoPartDecoder) else decoder.run(inputs)
    rows, columns = (TOKEN // CELL * tokens for tokens in embedding.geometry.token_size)
    found = []
    for i, scores in enumerate(outputs["predicted_iou"]):
        masks = [mask for mask in AMBIGUOUS if scores[mask] > least]
        if not masks:
            logits = np.empty((0, rows, columns), np.float32)
        elif isinstance(decoder, TwoPartDecoder):
            logits = decoder.logits(outputs, i, masks)
        else:
            logits = outputs["low_res_logits"][i, masks]
        found.append(GoodMasks(logits, scores[masks]))
    return found


def _inputs(model: LoadedModel, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> Tensors:
    geometry = embedding.geometry
    coords, labels = decoder_points(prompts, geometry, pad_boxes=model.contract.pad_boxes)
    check_points(labels.shape[1], model.choice.runtime)
    inputs: Tensors = {"point_coords": coords, "point_labels": labels}
    if geometry.fit.padded:
        inputs["token_size"] = np.array(geometry.token_size, np.int64)
    listed = model.listed_tokens(geometry.token_size)
    masks = [prompt.mask for prompt in prompts if prompt.mask is not None]
    if masks:
        encoded = model.mask_encoder.run({"image_embedding": embedding.features[None], "mask": np.stack(masks)})
        # An imported model's hands on the mask itself too.
        tokens = {**encoded, **decoder_tokens(encoded["image_tokens"], listed)}
    else:
        tokens = embedding.image_tokens(model.no_mask, model.decoder, listed)
    return {**tokens, **embedding.high_res_inputs(model.decoder), **inputs}
