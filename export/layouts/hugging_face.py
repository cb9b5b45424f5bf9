"""The layout of Hugging Face's Optimum, as transformers.js reads it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import ABSENT, BOTTOM_RIGHT, NOT_A_POINT, TOP_LEFT
from edge_sam.export.layouts.layout import ExportLayout
from edge_sam.export.layouts.pieces import CONSTANTS, THREE, closed_points
from edge_sam.export.layouts.side_files import configurations
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import PADDED, STRETCHED
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.runtimes import Session

_FOLDER = "onnx"

_SAM_ENCODER = """
vision_encoder (float[1, 3, 1024, 1024] pixel_values) => (
  float[1, 256, 64, 64] image_embeddings, float[1, 256, 64, 64] image_positional_embeddings
)
<int64[4] shape = {1, 256, 64, 64}>
{
  tokens = edge_sam.encoder (pixel_values)
  image_embeddings = Transpose <perm = [0, 3, 1, 2]> (tokens)
  image_positional_embeddings = ConstantOfShape (shape)
}
"""
"""Clients hand the positions on to the decoder, which has them built in. They are zero here."""

_ONE_IMAGE = """
  planes_of_image = Unsqueeze (masks_of_three, zero)
  pred_masks = Identity (planes_of_image)
  iou_scores = Unsqueeze (scores_of_three, zero)
"""

_SAM_DECODER = f"""
prompt_encoder_mask_decoder (
  float[1, prompts, points, 2] input_points, int64[1, prompts, points] input_labels,
  float[1, 256, 64, 64] image_embeddings, float[1, 256, 64, 64] image_positional_embeddings
) => (float[1, prompts, 3] iou_scores, float[1, prompts, 3, 256, 256] pred_masks)
<{CONSTANTS}>
{{
  embedding = Transpose <perm = [0, 2, 3, 1]> (image_embeddings)
  image_tokens = Add (embedding, no_mask)
  given_coords = Squeeze (input_points, zero)
  given_labels = Squeeze (input_labels, zero)
  {closed_points(after_box=ABSENT)}
  low_res_logits, predicted_iou = edge_sam.decoder (image_tokens, coords, labels, whole_grid)
  {THREE}
  {_ONE_IMAGE}
}}
"""

_SAM2_ENCODER = """
vision_encoder (float[1, 3, 1024, 1024] pixel_values) => (
  float[1, 32, 256, 256] "image_embeddings.0", float[1, 64, 128, 128] "image_embeddings.1",
  float[1, 256, 64, 64] "image_embeddings.2"
)
{
  tokens, fine, medium = edge_sam.encoder (pixel_values)
  "image_embeddings.0" = Transpose <perm = [0, 3, 1, 2]> (fine)
  "image_embeddings.1" = Transpose <perm = [0, 3, 1, 2]> (medium)
  "image_embeddings.2" = Transpose <perm = [0, 3, 1, 2]> (tokens)
}
"""

_POINTS_AND_BOXES = f"""
  count = Shape <start = 1, end = 2> (input_boxes)
  has_none = Equal (count, zero)
  fillers = Cast <to = 7> (has_none)
  pair = Constant <value_ints = [2]> ()
  filler_shape = Concat <axis = 0> (fillers, pair)
  filler_labels = Expand (absent, filler_shape)
  filler_coords_shape = Concat <axis = 0> (fillers, pair, pair)
  filler_coords = Expand (nothing, filler_coords_shape)
  corner_kinds = Constant <value_ints = [{TOP_LEFT}, {BOTTOM_RIGHT}]> ()
  corners_shape = Concat <axis = 0> (count, pair)
  corner_labels = Expand (corner_kinds, corners_shape)
  corner_coords_shape = Concat <axis = 0> (count, pair, pair)
  corner_coords = Reshape <allowzero = 1> (input_boxes, corner_coords_shape)
  some_labels = Concat <axis = 0> (corner_labels, filler_labels)
  some_coords = Concat <axis = 0> (corner_coords, filler_coords)
  labelled = Shape <start = 1, end = 2> (input_labels)
  prompts = Max (labelled, count)
  points = Shape <start = 2, end = 3> (input_labels)
  label_shape = Concat <axis = 0> (prompts, points)
  coords_shape = Concat <axis = 0> (prompts, points, pair)
  point_labels = Reshape <allowzero = 1> (input_labels, label_shape)
  point_coords = Reshape <allowzero = 1> (input_points, coords_shape)
  all_pairs = Concat <axis = 0> (prompts, pair)
  all_pairs_coords = Concat <axis = 0> (prompts, pair, pair)
  box_labels = Expand (some_labels, all_pairs)
  box_coords = Expand (some_coords, all_pairs_coords)
  given_labels = Concat <axis = 1> (point_labels, box_labels)
  given_coords = Concat <axis = 1> (point_coords, box_coords)
"""
"""Points (1, N, P, 2) and boxes (1, N, 4) to `given_coords` and `given_labels`. Clients send either with a length of
zero: then P is 0, or there are no boxes."""

_SAM2_DECODER = f"""
prompt_encoder_mask_decoder (
  float[1, point_prompts, points, 2] input_points, int64[1, prompts, points] input_labels,
  float[1, boxes, 4] input_boxes, float[1, 32, 256, 256] "image_embeddings.0",
  float[1, 64, 128, 128] "image_embeddings.1", float[1, 256, 64, 64] "image_embeddings.2"
) => (float[1, prompts, 3] iou_scores, float[1, prompts, 3, 256, 256] pred_masks)
<{CONSTANTS}>
{{
  fine = Transpose <perm = [0, 2, 3, 1]> ("image_embeddings.0")
  medium = Transpose <perm = [0, 2, 3, 1]> ("image_embeddings.1")
  embedding = Transpose <perm = [0, 2, 3, 1]> ("image_embeddings.2")
  image_tokens = Add (embedding, no_mask)
  {_POINTS_AND_BOXES}
  {closed_points(after_box=NOT_A_POINT)}
  low_res_logits, predicted_iou = edge_sam.decoder (image_tokens, fine, medium, coords, labels)
  {THREE}
  {_ONE_IMAGE}
}}
"""


def _best(answer: dict[str, NDArray[np.float32]], geometry: Geometry) -> NDArray[np.bool_]:
    best = answer["pred_masks"][0, 0, answer["iou_scores"][0, 0].argmax()]
    return np.asarray(geometry.upsample(best) > 0)


def _sam_client(
    decoder: Session, maps: list[NDArray[np.float32]], prompt: Prompt, geometry: Geometry
) -> NDArray[np.bool_]:
    """See `Client`."""
    coords, labels = decoder_points([prompt], geometry)
    kept = labels >= 0
    inputs = {"image_embeddings": maps[0], "image_positional_embeddings": maps[1]}
    points = {"input_points": coords[kept][None, None], "input_labels": labels[kept][None, None]}
    return _best(decoder.run({**inputs, **points}), geometry)


def _sam2_client(
    decoder: Session, maps: list[NDArray[np.float32]], prompt: Prompt, geometry: Geometry
) -> NDArray[np.bool_]:
    """See `Client`."""
    coords, labels = decoder_points([prompt], geometry)
    points, corners = (labels >= 0) & (labels < TOP_LEFT), labels >= TOP_LEFT
    inputs = {f"image_embeddings.{i}": array for i, array in enumerate(maps)}
    prompts = {
        "input_points": coords[points][None, None],
        "input_labels": labels[points][None, None],
        "input_boxes": coords[corners].reshape(1, -1, 4),
    }
    return _best(decoder.run({**inputs, **prompts}), geometry)


HF_SAM = ExportLayout(
    name="hf",
    fit=PADDED,
    values=("normalised",),
    encoder=lambda parts, _: parts.compose(_SAM_ENCODER),
    decoder=lambda parts: parts.compose(_SAM_DECODER, no_mask=parts.constants["no_mask"]),
    encoder_file=f"{_FOLDER}/vision_encoder.onnx",
    decoder_file=f"{_FOLDER}/prompt_encoder_mask_decoder.onnx",
    side_files=configurations("sam", "SamModel", "SamImageProcessor"),
    client=_sam_client,
    masks=False,
)
HF_SAM2 = ExportLayout(
    name="hf",
    fit=STRETCHED,
    high_res=2,
    values=("normalised",),
    encoder=lambda parts, _: parts.compose(_SAM2_ENCODER),
    decoder=lambda parts: parts.compose(_SAM2_DECODER, no_mask=parts.constants["no_mask"]),
    encoder_file=HF_SAM.encoder_file,
    decoder_file=HF_SAM.decoder_file,
    side_files=configurations("sam2", "Sam2Model", "Sam2ImageProcessor"),
    client=_sam2_client,
    masks=False,
)
