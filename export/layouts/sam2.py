"""SAM 2's layout, as samexporter, X-AnyLabeling and Annotorious read it. They bind by position, so the order counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_sam.bundles.contract import NOT_A_POINT
from edge_sam.bundles.manifest import Values
from edge_sam.export.layouts.layout import BundleGraphs, ExportLayout
from edge_sam.export.layouts.pieces import CONSTANTS, IMAGE_TOKENS, THREE, closed_points
from edge_sam.export.layouts.side_files import any_labeling
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import STRETCHED
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.runtimes import Session

_NORMALISED = "normalised = Identity (image)"
_NORMALISE = """
  centred = Sub (image, mean)
  normalised = Mul (centred, per_std)
"""


def _encoder_text(normalise: str) -> str:
    return f"""
image_encoder (float[1, 3, 1024, 1024] image) => (
  float[1, 32, 256, 256] high_res_feats_0, float[1, 64, 128, 128] high_res_feats_1, float[1, 256, 64, 64] image_embed
)
{{
  {normalise}
  tokens, fine, medium = edge_sam.encoder (normalised)
  high_res_feats_0 = Transpose <perm = [0, 3, 1, 2]> (fine)
  high_res_feats_1 = Transpose <perm = [0, 3, 1, 2]> (medium)
  image_embed = Transpose <perm = [0, 3, 1, 2]> (tokens)
}}
"""


_DECODER = f"""
mask_decoder (
  float[1, 256, 64, 64] image_embed, float[1, 32, 256, 256] high_res_feats_0, float[1, 64, 128, 128] high_res_feats_1,
  float[prompts, points, 2] point_coords, float[prompts, points] point_labels, float[prompts, 1, 256, 256] mask_input,
  float[flags] has_mask_input
) => (float[prompts, 3, 256, 256] masks, float[prompts, 3] iou_predictions)
<{CONSTANTS}>
{{
  embedding = Transpose <perm = [0, 2, 3, 1]> (image_embed)
  fine = Transpose <perm = [0, 2, 3, 1]> (high_res_feats_0)
  medium = Transpose <perm = [0, 2, 3, 1]> (high_res_feats_1)
  {IMAGE_TOKENS}
  given_labels = Cast <to = 7> (point_labels)
  given_coords = Identity (point_coords)
  {closed_points(after_box=NOT_A_POINT)}
  low_res_logits, predicted_iou = edge_sam.decoder (image_tokens, fine, medium, coords, labels)
  {THREE}
  iou_predictions = Identity (scores_of_three)
  masks = Clip (masks_of_three, lowest, highest)
}}
"""


def _encoder(parts: BundleGraphs, values: Values) -> ModelProto:
    if values == "normalised":
        return parts.compose(_encoder_text(_NORMALISED))
    manifest = parts.bundle.manifest
    mean, std = (np.array(each, np.float32)[:, None, None] / 255 for each in (manifest.pixel_mean, manifest.pixel_std))
    return parts.compose(_encoder_text(_NORMALISE), mean=mean, per_std=1 / std)


def _decoder(parts: BundleGraphs) -> ModelProto:
    limit = np.array(parts.contract.logit_limit or np.inf, np.float32)
    return parts.compose(_DECODER, no_mask=parts.constants["no_mask"], lowest=-limit, highest=limit)


def _client(decoder: Session, maps: list[NDArray[np.float32]], prompt: Prompt, geometry: Geometry) -> NDArray[np.bool_]:
    """See `Client`. Programs send points and corners, and take the mask with the best score."""
    coords, labels = decoder_points([prompt], geometry)
    kept = labels >= 0
    mask = np.zeros(geometry.logit_size, np.float32) if prompt.mask is None else prompt.mask
    fine, medium, embedding = maps
    answer = decoder.run(
        {
            "image_embed": embedding,
            "high_res_feats_0": fine,
            "high_res_feats_1": medium,
            "point_coords": coords[kept][None],
            "point_labels": labels[kept][None].astype(np.float32),
            "mask_input": mask[None, None],
            "has_mask_input": np.array([prompt.mask is not None], np.float32),
        }
    )
    best = answer["masks"][0, answer["iou_predictions"][0].argmax()]
    return np.asarray(geometry.upsample(best) > 0)


SAM2 = ExportLayout(
    name="sam2",
    fit=STRETCHED,
    high_res=2,
    values=("normalised", "0-1"),
    encoder=_encoder,
    decoder=_decoder,
    side_files=any_labeling("segment_anything_2", "normalised"),
    client=_client,
)
