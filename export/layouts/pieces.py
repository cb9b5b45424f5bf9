"""Pieces of ONNX text that several layouts need."""

from __future__ import annotations

from edge_sam.bundles.contract import ABSENT, NOT_A_POINT, TOP_LEFT
from edge_sam.imaging.geometry import CELL, GRID, LOGITS
from edge_sam.imaging.view import FRAME

CONSTANTS = f"""
  int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] four = {{4}}, int64[2] origin = {{0, 0}},
  int64[2] in_plane = {{2, 3}}, int64[2] whole_grid = {{{GRID}, {GRID}}}, int64[4] along_prompts = {{-1, 1, 1, 1}},
  int64 on_object = {{1}}, int64 off_object = {{0}}, int64 corner = {{{TOP_LEFT}}}, int64 absent = {{{ABSENT}}},
  int64 not_a_point = {{{NOT_A_POINT}}}, float nothing = {{0.0}}"""
"""Initializers that the pieces use."""

HAS_BOX = """
  last_label = ReduceMax <axes = [1], keepdims = 1> (given_labels)
  has_box = GreaterOrEqual (last_label, corner)
"""
"""`given_labels` (N, P) to `has_box` (N, 1)."""

WITHOUT_NOT_A_POINT = f"""
  {HAS_BOX}
  is_padding = Equal (given_labels, not_a_point)
  is_surplus = And (is_padding, has_box)
  labels = Where (is_surplus, absent, given_labels)
"""
"""`given_labels` to `labels`: clients put a "not a point" after the corners of a box too, where none belongs."""


def closed_points(after_box: int) -> str:
    """Return the lines that put one "not a point" after `given_coords` (N, P, 2) and `given_labels` (N, P).

    Negative labels, with which clients fill up rows, become absent points. `after_box` is the label that follows a box.
    """
    return f"""
  {HAS_BOX}
  is_point = GreaterOrEqual (given_labels, off_object)
  given_points = Where (is_point, given_labels, absent)
  after_box = Constant <value_int = {after_box}> ()
  last = Where (has_box, after_box, not_a_point)
  labels = Concat <axis = 1> (given_points, last)
  first_coords = Slice (given_coords, zero, one, one)
  last_coords = Mul (first_coords, nothing)
  coords = Concat <axis = 1> (given_coords, last_coords)
"""


IMAGE_TOKENS = f"""
  largest_flag = ReduceMax <keepdims = 0> (has_mask_input)
  any_mask = Greater (largest_flag, nothing)
  image_tokens = If (any_mask) <
    then_branch = with_mask () => (float[masks, {GRID}, {GRID}, channels] chosen_tokens) {{
      mask = Squeeze (mask_input, one)
      masked_tokens = edge_sam.mask_encoder (embedding, mask)
      unmasked_tokens = Add (embedding, no_mask)
      flags = Reshape (has_mask_input, along_prompts)
      has_mask = Greater (flags, nothing)
      chosen_tokens = Where (has_mask, masked_tokens, unmasked_tokens)
    }},
    else_branch = without_mask () => (float[1, {GRID}, {GRID}, channels] plain_tokens) {{
      plain_tokens = Add (embedding, no_mask)
    }}
  >
"""
"""`embedding` (1, rows, columns, 256) and a mask prompt to `image_tokens`. osam sends -1 for none."""

THREE = """
  masks_of_three = Slice (low_res_logits, one, four, one)
  scores_of_three = Slice (predicted_iou, one, four, one)
"""
"""The three masks of an ambiguous prompt, and their predicted IoU."""

SCALED_SIZE = f"""
  size = Cast <to = 7> (orig_im_size)
  longest = ReduceMax <keepdims = 1> (size)
  twice_frame = Constant <value_int = {2 * FRAME}> ()
  enlarged = Mul (size, twice_frame)
  with_half = Add (enlarged, longest)
  twice_longest = Mul (longest, two)
  rounded = Div (with_half, twice_longest)
  scaled_size = Max (rounded, one)
  part_of_cell = Constant <value_int = {CELL - 1}> ()
  cell = Constant <value_int = {CELL}> ()
  up_to_cell = Add (scaled_size, part_of_cell)
  cells = Div (up_to_cell, cell)
"""
"""`orig_im_size` to `size`, `scaled_size` and `cells`: see `Geometry`."""


def upsampled(masks: str, scaled_size: str, cells: str) -> str:
    """Return the lines that make `masks` at `size` from low-res logits; see `Geometry.upsample`."""
    return f"""
  all_cells = Constant <value_int = {LOGITS}> ()
  cells_and_one = Add ({cells}, one)
  used_cells = Min (cells_and_one, all_cells)
  used_logits = Slice ({masks}, origin, used_cells, in_plane)
  size_of_cells = Mul (size, cell)
  numerator = Cast <to = 1> (size_of_cells)
  denominator = Cast <to = 1> ({scaled_size})
  plane_scales = Div (numerator, denominator)
  no_scales = Constant <value_floats = [1.0, 1.0]> ()
  scales = Concat <axis = 0> (no_scales, plane_scales)
  enlarged_logits = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (
    used_logits, no_roi, scales
  )
  masks = Slice (enlarged_logits, origin, size, in_plane)
"""
