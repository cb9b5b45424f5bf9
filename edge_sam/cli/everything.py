"""`edge-sam everything`: all masks of a photograph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_sam.cli.options import HYPHEN, ON_A_GRID, EverythingOptions, Json, Run
from edge_sam.cli.output import echo, print_json
from edge_sam.cli.progress import status
from edge_sam.cli.text import WORDS, TextOptions, label_records, open_segmenter
from edge_sam.errors import InputError
from edge_sam.inference.run_options import RunOptions
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_sam.everything import Found, MaskGenerator


def everything(
    image: Annotated[str, HYPHEN],
    /,
    *,
    output: Path = Path("edge-sam-output"),
    valid_mask: Path | None = None,
    settings: Annotated[EverythingOptions, ON_A_GRID] = EverythingOptions(),
    words: Annotated[TextOptions, WORDS] = TextOptions(),
    model: str = "mobile-sam",
    decoder: Path | None = None,
    run: Run = RunOptions(),
    json: Json = False,
    stream: bool = False,
) -> None:
    """Find all masks of a photograph; write them with a label map and an overlay. With --text, label them.

    Parameters
    ----------
    image
        Photograph; - reads it from standard input.
    output
        Folder for masks (JSON), label map and overlay (PNG).
    valid_mask
        Picture of the photograph's size. Only its non-black pixels are searched.
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    stream
        Print masks as JSON lines as they are found; write no files.
    """
    if json and stream:
        raise InputError("--json prints one object at the end, --stream a line at a time; give one of them")
    words.check()
    if words.text and stream:
        raise InputError("--text labels the masks when all are found; leave out --stream")
    import time

    from edge_sam.everything import MaskGenerator
    from edge_sam.files.atomic import check_output_folder
    from edge_sam.imaging.images import read_image
    from edge_sam.imaging.region import read_region
    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with

    if not stream:
        check_output_folder(output)
    with silenced():
        predictor = load_with(with_decoder(model, decoder), run)
        pixels = read_image(image)
        region = read_region(valid_mask)
        segmenter = open_segmenter(predictor, words, run)
    generator = MaskGenerator(predictor, output_mode="coco_rle", **vars(settings))
    if stream:
        _stream(generator, pixels, region)
        return
    start = time.perf_counter()
    with _progress() as progress:
        masks = generator.generate(pixels, valid_mask=region, progress=progress)
    labelled: dict[str, Any] = {}
    if segmenter is not None:
        labelled = label_records(segmenter, pixels, masks, words)
    report = {
        "image": image,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        **msgspec.to_builtins(predictor.facts),
        **labelled,
        "prompts": progress.asked,
        "seconds": round(time.perf_counter() - start, 2),
        "masks": masks,
    }
    files = _write(output, "stdin" if image == "-" else Path(image).stem, pixels, report)
    _print(report | files, json)


class _Progress:
    """Shows the masks found so far and remembers how many points were asked."""

    def __init__(self, show: Callable[[Found], object]) -> None:
        self.asked = 0
        self._show = show

    def __call__(self, found: Found) -> None:
        self.asked = found.asked
        self._show(found)


@contextlib.contextmanager
def _progress() -> Iterator[_Progress]:
    """Show the search on standard error where that is a terminal."""
    with status("encoding …") as show:
        yield _Progress(lambda found: show(f"{found.masks} masks; asked {found.asked} of {found.points} points"))


def _stream(generator: MaskGenerator, pixels: NDArray[np.uint8], region: NDArray[np.bool_] | None) -> None:
    for found, update in generator.stream(pixels, valid_mask=region):
        if update.added or update.removed:
            added = [{"id": number, **record} for number, record in update.added.items()]
            print_json({"asked": found.asked, "added": added, "removed": update.removed})


def _write(folder: Path, stem: str, image: NDArray[np.uint8], report: dict[str, Any]) -> dict[str, str]:
    """Write the masks and their pictures; say where."""
    from edge_sam.everything.pictures import draw_labels
    from edge_sam.files.atomic import write_files
    from edge_sam.files.serialization import to_json
    from edge_sam.imaging.images import encode_png
    from edge_sam.imaging.masks import decode_rle, label_map

    labels = label_map((decode_rle(mask["segmentation"]) for mask in report["masks"]), (image.shape[0], image.shape[1]))
    files = {
        "file": folder / f"{stem}-everything.json",
        "labels": folder / f"{stem}-labels.png",
        "overlay": folder / f"{stem}-everything.png",
    }
    contents = (
        to_json(report),
        encode_png(labels),
        encode_png(draw_labels(image, labels)),
    )
    write_files(dict(zip(files.values(), contents, strict=True)))
    return {what: str(path) for what, path in files.items()}


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    echo(f"{len(report['masks'])} masks from {report['prompts']} prompts in {report['seconds']} s")
    for text in report.get("text", ()):
        echo(f"{sum(mask['text'] == text for mask in report['masks'])} of them: {text}")
    echo(f"{report['model']} {report['precision']} on {report['provider']}")
    for what in ("file", "labels", "overlay"):
        echo(f"{what}: {report[what]}")
