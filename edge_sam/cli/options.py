"""Options that several commands take, in the same words."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[str, typer.Option(help="Model name or bundle folder.")]
RuntimeOption = Annotated[
    str, typer.Option(help="auto, onnxruntime, openvino, cuda or tensorrt; with a device: openvino:GPU, cuda:1.")
]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, smallest, or a precision of the bundle, like fp32, w16 or int8.")
]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads for one inference.")]
PreferOption = Annotated[
    str,
    typer.Option(
        help="Which mask answers a prompt: object, part, best (predicted IoU), single (token 0), or auto: object for"
        " points, best for a box."
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Fail when the runtime does, instead of taking the next one.")
]
LongSideOption = Annotated[
    int, typer.Option(help="Pixels the longer side is scaled to, a multiple of 16; less is faster.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

_GRID = "Grid of points"
ExhaustiveOption = Annotated[
    bool,
    typer.Option(
        "--exhaustive",
        help="Ask every point of the grid; by default known answers are left out.",
        rich_help_panel=_GRID,
    ),
]
PointsPerSideOption = Annotated[int, typer.Option(help="Side of the grid of points.", rich_help_panel=_GRID)]
PointsPerBatchOption = Annotated[int, typer.Option(help="Points in one call of the decoder.", rich_help_panel=_GRID)]
BoxNmsOption = Annotated[float, typer.Option(help="Box IoU above which masks are duplicates.", rich_help_panel=_GRID)]
MinRegionOption = Annotated[
    int, typer.Option(help="Remove holes and islands smaller than this.", rich_help_panel=_GRID)
]
CropLayersOption = Annotated[
    int, typer.Option(help="Search 2ⁿ × 2ⁿ crops as well, for n up to this.", rich_help_panel=_GRID)
]
CropNmsOption = Annotated[float, typer.Option(help="Box IoU between crops.", rich_help_panel=_GRID)]
CropOverlapOption = Annotated[float, typer.Option(help="Overlap of crops, of the shorter side.", rich_help_panel=_GRID)]
CropDownscaleOption = Annotated[int, typer.Option(help="Fewer points by this in each layer.", rich_help_panel=_GRID)]
OffsetOption = Annotated[float, typer.Option(help="Shift of the stability's threshold, in logits.")]
MinAreaOption = Annotated[int, typer.Option(help="Smallest mask in pixels.")]
