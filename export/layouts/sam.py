"""SAM's layout, as samexporter, X-AnyLabeling, AnyLabeling, osam and labelme read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_sam.bundles.manifest import Values
from edge_sam.export.layouts.layout import BundleGraphs, ExportLayout
from edge_sam.export.layouts.pieces import (
    CONSTANTS,
    IMAGE_TOKENS,
    SCALED_SIZE,
    THREE,
    WITHOUT_NOT_A_POINT,
    upsampled,
)
from edge_sam.export.layouts.side_files import any_labeling
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import FRAME, PADDED, TOKEN
from edge_sam.preference import BOUNDS
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.runtimes import Session

_NORMALISED = """
  centred = Sub (input_image, mean)
  normalised = Mul (centred, per_std)
  planes = Transpose <perm = [2, 0, 1]> (normalised)
  photograph = Unsqueeze (planes, zero)
  size = Shape <start = 0, end = 2> (input_image)
"""

_PADDED = """
  missing = Sub (covered, size)
  pads = Concat <axis = 0> (before, missing)
  image = Pad (photograph, pads)
  encoded = edge_sam.encoder (image)
"""

_OF_PIXELS = f"""
image_encoder (float[height, width, 3] input_image) => (float[1, 256, 64, 64] image_embeddings)
<
  int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] grid = {{64}}, int64[1] token = {{{TOKEN}}},
  int64[1] part_of_token = {{{TOKEN - 1}}}, int64[6] before = {{0, 0, 0, 0, 0, 0}}
>
{{
  {_NORMALISED}
  up_to_token = Add (size, part_of_token)
  tokens = Div (up_to_token, token)
  covered = Mul (tokens, token)
  {_PADDED}
  padding = Cast <to = 1> (stored_padding)
  rows, columns = Split <axis = 0> (tokens)
  photograph_tokens = Squeeze (encoded, zero)
  beside = Slice (padding, columns, grid, one)
  right = Slice (beside, zero, rows, zero)
  below = Slice (padding, rows, grid, zero)
  upper = Concat <axis = 1> (photograph_tokens, right)
  frame = Concat <axis = 0> (upper, below)
  channels_first = Transpose <perm = [2, 0, 1]> (frame)
  image_embeddings = Unsqueeze (channels_first, zero)
}}
"""
"""Only the photograph's own tokens are encoded. The rest of the frame is stored."""

OF_PIXELS_IN_SQUARE = f"""
image_encoder (float[height, width, 3] input_image) => (float[1, 256, 64, 64] image_embeddings)
<int64[1] zero = {{0}}, int64[2] covered = {{{FRAME}, {FRAME}}}, int64[6] before = {{0, 0, 0, 0, 0, 0}}>
{{
  {_NORMALISED}
  {_PADDED}
  image_embeddings = Transpose <perm = [0, 3, 1, 2]> (encoded)
}}
"""
"""For families that encode a square."""

_OF_SQUARE = """
image_encoder (float[1, 3, 1024, 1024] x) => (float[1, 256, 64, 64] image_embeddings)
{
  encoded = edge_sam.encoder (x)
  image_embeddings = Transpose <perm = [0, 3, 1, 2]> (encoded)
}
"""
"""osam knows the input by the name x."""

_PREFERRED = f"""
  cell_rows, cell_columns = Split <axis = 0> (cells)
  in_photograph = Slice (masks_of_three, origin, cells, in_plane)
  is_inside = Greater (in_photograph, nothing)
  inside = Cast <to = 1> (is_inside)
  areas = ReduceMean <axes = [2, 3], keepdims = 0> (inside)
  ends = Constant <value_ints = [0, -1]> ()
  top_and_bottom = Gather <axis = 2> (inside, ends)
  left_and_right = Gather <axis = 3> (inside, ends)
  across = ReduceSum <keepdims = 0> (top_and_bottom, in_plane)
  down = ReduceSum <keepdims = 0> (left_and_right, in_plane)
  touched = Add (across, down)
  half_outline = Add (cell_rows, cell_columns)
  whole_outline = Mul (half_outline, two)
  outline = Cast <to = 1> (whole_outline)
  touching = Div (touched, outline)
  best_score = ReduceMax <axes = [1], keepdims = 1> (scores_of_three)
  is_best = Equal (scores_of_three, best_score)
  margin = Constant <value_float = {BOUNDS.margin}> ()
  least_score = Sub (best_score, margin)
  is_close = GreaterOrEqual (scores_of_three, least_score)
  min_area = Constant <value_float = {BOUNDS.min_area}> ()
  is_large = GreaterOrEqual (areas, min_area)
  max_outline = Constant <value_float = {BOUNDS.max_outline}> ()
  is_object = LessOrEqual (touching, max_outline)
  has_no_box = Not (has_box)
  close_and_large = And (is_close, is_large)
  of_points = And (is_object, has_no_box)
  is_preferred = And (close_and_large, of_points)
  is_candidate = Or (is_preferred, is_best)
  no_area = Constant <value_float = -1.0> ()
  ranks = Where (is_candidate, areas, no_area)
  index_of_three = ArgMax <axis = 1, keepdims = 1> (ranks)
  index_of_four = Add (index_of_three, one)
  flag = Unsqueeze (has_mask_input, one)
  is_refined = Greater (flag, nothing)
  index = Where (is_refined, off_object, index_of_four)
  iou_predictions = GatherElements <axis = 1> (predicted_iou, index)
  chosen = GatherND <batch_dims = 1> (low_res_logits, index)
  low_res_masks = Unsqueeze (chosen, one)
"""
"""The one mask that `edge_sam.preference` chooses with "auto"; token 0's with a mask prompt. Clients take the first."""

_DECODER = f"""
mask_decoder (
  float[1, 256, 64, 64] image_embeddings, float[prompts, points, 2] point_coords, float[prompts, points] point_labels,
  float[prompts, 1, 256, 256] mask_input, float[flags] has_mask_input, float[2] orig_im_size
) => (
  float[prompts, 1, height, width] masks, float[prompts, 1] iou_predictions, float[prompts, 1, 256, 256] low_res_masks
)
<{CONSTANTS}>
{{
  embedding = Transpose <perm = [0, 2, 3, 1]> (image_embeddings)
  {IMAGE_TOKENS}
  given_labels = Cast <to = 7> (point_labels)
  {WITHOUT_NOT_A_POINT}
  low_res_logits, predicted_iou = edge_sam.decoder (image_tokens, point_coords, labels, whole_grid)
  {THREE}
  {SCALED_SIZE}
  {_PREFERRED}
  {upsampled("low_res_masks", "scaled_size", "cells")}
}}
"""


def _encoder(parts: BundleGraphs, values: Values) -> ModelProto:
    if values == "normalised":
        return parts.compose(_OF_SQUARE)
    manifest = parts.bundle.manifest
    mean, std = np.array(manifest.pixel_mean, np.float32), np.array(manifest.pixel_std, np.float32)
    colours: dict[str, NDArray[Any]] = {"mean": mean, "per_std": 1 / std}
    if parts.contract.square:
        return parts.compose(OF_PIXELS_IN_SQUARE, **colours)
    padding: NDArray[Any] = parts.constants["padding"]
    if np.array_equal(half := padding.astype(np.float16), padding):  # As in a bundle with 16-bit weights.
        padding = half
    return parts.compose(_OF_PIXELS, **colours, stored_padding=padding)


def _decoder(parts: BundleGraphs) -> ModelProto:
    return parts.compose(_DECODER, no_mask=parts.constants["no_mask"], no_roi=np.zeros(0, np.float32))


def _client(decoder: Session, maps: list[NDArray[np.float32]], prompt: Prompt, geometry: Geometry) -> NDArray[np.bool_]:
    """See `Client`. All programs send a "not a point", after a box too."""
    coords, labels = decoder_points([prompt], geometry, pad_boxes=True)
    mask = np.zeros(geometry.logit_size, np.float32) if prompt.mask is None else prompt.mask
    answer = decoder.run(
        {
            "image_embeddings": maps[0],
            "point_coords": coords,
            "point_labels": labels.astype(np.float32),
            "mask_input": mask[None, None],
            "has_mask_input": np.array([prompt.mask is not None], np.float32),
            "orig_im_size": np.array(geometry.image_size, np.float32),
        }
    )
    return np.asarray(answer["masks"][0, 0] > 0)


SAM = ExportLayout(
    name="sam",
    fit=PADDED,
    values=("0-255", "normalised"),
    encoder=_encoder,
    decoder=_decoder,
    side_files=any_labeling("segment_anything", "0-255", input_size=1024, max_width=1024, max_height=682),
    client=_client,
    shows="auto",
)
