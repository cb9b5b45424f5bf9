"""Ranges of input shapes for runtimes that build engines for a range."""

from __future__ import annotations

from edge_sam.bundles.contract import TOKENS, Role
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import GRID, LOGITS
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.runtimes import Shapes, backend

MAX_PROMPTS = 8
MAX_POINTS = 64
"""Most points of one prompt, box corners and padding included."""

_WIDE = 9 * FRAME // 16
"""Height of a 16:9 photograph in the frame, the shape of most cameras."""

PROFILES: dict[Role, dict[str, Shapes]] = {
    "encoder": {"image": ((1, 3, TOKEN, TOKEN), (1, 3, _WIDE, FRAME), (1, 3, FRAME, FRAME))},
    "mask_encoder": {"mask": ((1, LOGITS, LOGITS), (1, LOGITS, LOGITS), (MAX_PROMPTS, LOGITS, LOGITS))},
    "decoder": {
        "image_tokens": ((1, *TOKENS), (1, *TOKENS), (MAX_PROMPTS, *TOKENS)),
        "point_coords": ((1, 1, 2), (1, 2, 2), (MAX_PROMPTS, MAX_POINTS, 2)),
        "point_labels": ((1, 1), (1, 2), (MAX_PROMPTS, MAX_POINTS)),
        # Range of the tensor's values (rows and columns), not of its shape.
        "token_size": ((1, 1), (_WIDE // TOKEN, GRID), (GRID, GRID)),
    },
}
"""Smallest, typical and largest shape of each dynamic input by component. They cover all that the predictor sends."""


def check_points(count: int, runtime: str) -> None:
    """Raise `InputError` if a prompt has more points, box corners and padding included, than an engine takes."""
    if count > MAX_POINTS and backend(runtime).BUILDS_ENGINES:
        raise InputError(
            f"a prompt has {count} points, box corners and padding included; {runtime} is compiled for {MAX_POINTS}:"
            " give fewer, or take another runtime"
        )
