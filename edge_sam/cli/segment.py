"""`edge-sam segment`: one photograph, one or several prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_sam.cli.options import HYPHEN, Json, Run, Shown, ViewOptions
from edge_sam.cli.output import plain_console, print_json, table
from edge_sam.cli.prompts import points_and_boxes
from edge_sam.cli.text import WORDS, TextOptions, describe, open_segmenter
from edge_sam.errors import InputError
from edge_sam.inference.run_options import RunOptions
from edge_sam.preference import Preference
from edge_sam.system.quiet import silenced
from edge_sam.system.timing import elapsed_ms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_sam import ImageEmbedding, Prompt, Result, TextResult


def segment(
    image: Annotated[str | None, HYPHEN] = None,
    /,
    *,
    point: Annotated[list[str] | None, HYPHEN] = None,
    box: Annotated[list[str] | None, HYPHEN] = None,
    mask_file: Path | None = None,
    words: Annotated[TextOptions, WORDS] = TextOptions(),
    embedding: Path | None = None,
    valid_mask: Path | None = None,
    multimask: bool = False,
    prefer: Preference = "auto",
    output: Path = Path("edge-sam-output"),
    save_logits: bool = False,
    model: str = "mobile-sam",
    decoder: Path | None = None,
    view: Shown = ViewOptions(),
    run: Run = RunOptions(),
    json: Json = False,
) -> None:
    """Segment the objects at points and boxes, or those that words describe; write masks and an overlay.

    Parameters
    ----------
    image
        Photograph to segment; - reads it from standard input. With --embedding it is only drawn on, and may be left
        out.
    point
        Point in pixels, X,Y or X,Y,0|1: on the object (1, the default) or off it (0). Repeatable.
    box
        Box in pixels, X0,Y0,X1,Y1. Repeatable: without points each box is a prompt.
    mask_file
        Low-res logits (.npy of 256×256) of an earlier run, to refine.
    embedding
        Embedding of the photograph (.npz) from edge-sam encode or ImageEmbedding.save, in place of encoding it.
    valid_mask
        Picture of the photograph's size. Masks are cut to its non-black pixels.
    multimask
        Three masks for each prompt, best first.
    prefer
        Which mask answers a prompt. object: the largest whose predicted IoU comes close to the best. part: the
        smallest of these. best: the best predicted IoU. single: token 0's mask, as in the reference implementation.
        auto: object for points, best for a box, single for a mask alone.
    output
        Folder for the masks and the overlay.
    save_logits
        Also write the low-res logits (.npy).
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    """
    words.check()
    prompts = [] if words.text else _prompts(point or [], box or [], mask_file)
    if words.text and (point or box or mask_file or multimask):
        raise InputError("--text takes no --point, --box, --mask-file or --multimask beside it; leave them out")

    from edge_sam.files.atomic import check_output_folder, write_files
    from edge_sam.imaging.region import read_region
    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with

    check_output_folder(output)
    with silenced():
        (pixels, encoded), read = _timed(lambda: _read(image, embedding, view))
        if encoded is not None and run.precision == "auto":
            run = replace(run, precision=encoded.precision)
        predictor = load_with(with_decoder(model, decoder), run)
        region = read_region(valid_mask)
        segmenter = open_segmenter(predictor, words, run)
    if encoded is None and not (segmenter and segmenter.compares):  # Everything mode encodes for itself.
        encoded = predictor.encode(pixels, **vars(view))
    found: TextResult | None = None
    if segmenter is None:
        results = predictor.predict(encoded, prompts, multimask=multimask, valid_mask=region, prefer=prefer)
    else:
        if pixels is None:
            raise InputError("--text needs the photograph as well as its --embedding; give both")
        if save_logits and segmenter.compares:
            raise InputError("--save-logits: the masks of an image-text pair have no logits; leave it out")
        found = segmenter.segment(
            pixels, words.text or [], embedding=encoded, valid_mask=region, prefer=prefer, **vars(view)
        )
        prompts, results = found.prompts, found.single()

    stem = "stdin" if image == "-" else Path(image or str(embedding)).stem
    report, files = _report(stem, output, prompts, results, pixels, save_logits)
    if segmenter is not None and found is not None:
        report |= describe(found, report["masks"], words, segmenter)
    _, write = _timed(lambda: write_files(files))
    height, width = encoded.geometry.image_size if pixels is None else pixels.shape[:2]
    report = {
        "image": image,
        "width": width,
        "height": height,
        **msgspec.to_builtins(predictor.facts),
        **report,
        "timings_ms": _timings(read, encoded, results if found is None else [found], write),
    }
    _print(report, json)


def _read(
    image: str | None, embedding: Path | None, view: ViewOptions
) -> tuple[NDArray[np.uint8] | None, ImageEmbedding | None]:
    """Read the photograph, its embedding, or both."""
    from edge_sam import ImageEmbedding
    from edge_sam.imaging.images import read_image

    pixels = None if image is None else read_image(image)
    if embedding is None:
        if pixels is None:
            raise InputError("there is no photograph; give one, or its --embedding")
        return pixels, None
    if view != ViewOptions():
        raise InputError(
            "--long-side, --square and --no-square belong to encoding, which --embedding replaces; leave them out"
        )
    encoded = ImageEmbedding.load(embedding)
    if pixels is not None and pixels.shape[:2] != encoded.geometry.image_size:
        height, width = encoded.geometry.image_size
        raise InputError(
            f"{image} is {pixels.shape[1]}×{pixels.shape[0]}, but {embedding} is of a {width}×{height} photograph"
        )
    return pixels, encoded


def _prompts(points: list[str], boxes: list[str], mask_file: Path | None) -> list[Prompt]:
    """Points, at most one box and the mask make one prompt; several boxes make one prompt each."""
    from edge_sam import Prompt

    if not (points or boxes or mask_file):
        raise InputError("nothing to segment; give at least one --point X,Y or --box X0,Y0,X1,Y1")
    if mask_file is None:
        return points_and_boxes(points, boxes)
    if len(boxes) > 1:
        raise InputError("several --box cannot be mixed with --mask-file; run once for each box")
    logits = _load_logits(mask_file)
    if not (points or boxes):
        return [Prompt(mask=logits)]
    (prompt,) = points_and_boxes(points, boxes)
    return [Prompt(prompt.points, prompt.labels, prompt.box, logits)]


def _load_logits(path: Path) -> NDArray[Any]:
    from edge_sam.files.arrays import load_arrays

    arrays = load_arrays(path, "a .npy file of numbers")
    if "" not in arrays:
        raise InputError(f"{path} is an archive of arrays; give one .npy array")
    return arrays[""]


def _report(
    stem: str, folder: Path, prompts: list[Prompt], results: list[Result], image: NDArray[np.uint8] | None, logits: bool
) -> tuple[dict[str, Any], dict[Path, bytes]]:
    """Return the report, and the files to write with their contents. Without a photograph there is no overlay."""
    import numpy as np

    from edge_sam.files.arrays import encode_npy
    from edge_sam.imaging.images import encode_png
    from edge_sam.overlay import draw_overlay

    files: dict[Path, bytes] = {}
    found: list[dict[str, Any]] = []
    for i, result in enumerate(results):
        rles = result.to_rle()
        for j, mask in enumerate(result.masks):
            name = folder / f"{stem}-mask-{len(found)}.png"
            files[name] = encode_png(mask.astype(np.uint8) * 255)
            entry = {
                "prompt": i,
                "score": round(float(result.scores[j]), 4),
                "area": int(np.count_nonzero(mask)),
                "box": result.boxes[j].tolist(),
                "rle": rles[j],
                "file": str(name),
            }
            if result.preferred:
                entry["preferred_as"] = [prefer for prefer, index in result.preferred.items() if index == j]
            if logits:
                entry["logits"] = str(name.with_suffix(".npy"))
                files[name.with_suffix(".npy")] = encode_npy(result.logits[j])
            found.append(entry)
    if image is None:
        return {"masks": found, "overlay": None}, files
    # Masks of one ambiguous prompt lie over each other: one panel each. Masks of several prompts share a picture.
    panels = [
        draw_overlay(image, np.stack([result.masks[rank] for result in results]), prompts, _caption(results, rank))
        for rank in range(len(results[0].masks) if results else 0)
    ]
    overlay = folder / f"{stem}-overlay.png"
    files[overlay] = encode_png(np.concatenate(panels or [image], axis=1))
    return {"masks": found, "overlay": str(overlay)}, files


def _caption(results: list[Result], rank: int) -> str:
    """Name the preferences that take a panel's mask; nothing where a panel shows the masks of several prompts."""
    if len(results) > 1:
        return ""
    return ", ".join(prefer for prefer, index in results[0].preferred.items() if index == rank)


def _timings(
    read: float, embedding: ImageEmbedding | None, results: Sequence[Result], write: float
) -> dict[str, float]:
    stages = {"read": read, **(embedding.timings if embedding else {})}
    for result in results:
        for stage, milliseconds in result.timings.items():
            stages[stage] = stages.get(stage, 0.0) + milliseconds
    stages["write"] = write
    return {stage: round(milliseconds, 1) for stage, milliseconds in stages.items()}


def _timed(action: Any) -> tuple[Any, float]:
    import time

    start = time.perf_counter()
    result = action()
    return result, elapsed_ms(start)


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    console = plain_console()
    with_text = ("text",) if "text" in report else ()
    rows = table("mask", *with_text, "score", "area", "box (x0 y0 x1 y1)", "file")
    for i, mask in enumerate(report["masks"]):
        box = " ".join(f"{value:.0f}" for value in mask["box"])
        words = [mask[name] for name in with_text]
        rows.add_row(str(i), *words, f"{mask['score']:.3f}", str(mask["area"]), box, mask["file"])
    console.print(rows)
    for text in report.get("absent", ()):
        console.print(f"nothing fits {text!r} (threshold {report['threshold']:g})")
    preferred = [f"{i} as {name}" for i, mask in enumerate(report["masks"]) for name in mask.get("preferred_as", ())]
    if preferred:
        console.print(f"preferred: {', '.join(preferred)}")
    stages = "  ".join(f"{stage} {value:.1f}" for stage, value in report["timings_ms"].items())
    console.print(f"{report['model']} {report['precision']} on {report['provider']}; milliseconds: {stages}")
    if report["overlay"]:
        console.print(f"overlay: {report['overlay']}", soft_wrap=True)
