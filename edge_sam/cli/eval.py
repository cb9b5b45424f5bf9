"""`edge-sam eval`: how good a model's masks are on photographs whose masks are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.cli.options import Json, Run, Shown, ViewOptions
from edge_sam.cli.output import needs, plain_console, print_json, table
from edge_sam.errors import InputError
from edge_sam.inference.run_options import RunOptions

if TYPE_CHECKING:
    from rich.console import Console

    from edge_sam.evaluation.bootstrap import Estimate
    from edge_sam.evaluation.protocols import Segmenter
    from edge_sam.evaluation.report import EvalReport, ProtocolReport
    from edge_sam.evaluation.variant import SegmenterFacts, Variant


def evaluate(
    bundle: str,
    /,
    *,
    dataset: Path,
    prompts: str = "point,box",
    against: str | None = None,
    layout: Literal["auto", "folder", "coco", "voc", "davis"] = "auto",
    split: str | None = None,
    limit: int | None = None,
    view: Shown = ViewOptions(),
    run: Run = RunOptions(),
    worst: Annotated[int, Parameter(validator=Number(gte=0))] = 12,
    output: Path = Path("edge-sam-output"),
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    json: Json = False,
) -> None:
    """Measure mIoU and more on a dataset, with an interval; compare two models object by object.

    docs/evaluation.md describes each protocol and its source.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    dataset
        Folder with images/ and masks/, or of COCO, VOC or DAVIS, or of videos with frames/ and masks/; or a COCO JSON
        file.
    prompts
        Comma-separated: point (most interior), click (its default mask), click-random, box-centre, box, box-shown,
        Kpoints (K clicks by largest error), video-track (J&F, box in the first frame only), video-box (J&F, box in
        every frame).
    against
        Compare object by object with another bundle, or with torch: MobileSAM's own torch predictor. Settings that
        differ follow after commas: runtime=…, precision=…, long-side=…, square. An empty bundle means the
        first one: ,square.
    layout
        Layout of the dataset. auto recognises it.
    split
        Split to evaluate. Default: val if there is one, else all.
    limit
        Maximum number of photographs (and videos), spread evenly over the dataset.
    worst
        Cases on each contact sheet; 0 makes none.
    output
        Folder for the contact sheets.
    seed
        Seed of the bootstrap.
    """
    from edge_sam.cli.progress import progress_bar
    from edge_sam.evaluation.datasets import open_dataset
    from edge_sam.evaluation.evaluate import Evaluation
    from edge_sam.evaluation.variant import Variant
    from edge_sam.files.atomic import check_output_folder, write_files

    if worst:
        check_output_folder(output)
    data = open_dataset(dataset, layout=layout, split=split, limit=limit)
    evaluation = Evaluation(data, [name.strip() for name in prompts.split(",") if name.strip()])
    variant = Variant(bundle, **vars(run), **vars(view))
    segmenters = _open(variant, against)
    with progress_bar(str(dataset), evaluation.steps) as progress:
        report, sheets = evaluation.report(segmenters, output, seed=seed, worst=worst, progress=progress)
    write_files(sheets)
    if json:
        print_json(report)
    else:
        _print(report)


def _open(variant: Variant, against: str | None) -> list[Segmenter]:
    """Load the model, and the one to compare with."""
    if against is None:
        return [variant.open()]
    if against != "torch":
        other = variant.changed(against)
        if other == variant:
            raise InputError("--against is the same bundle with the same settings; for example: --against ,square")
        return [variant.open(), other.open()]
    first = variant.open()
    return [first, _torch(first.facts.weights, variant.threads)]


def _torch(weights: str, threads: int | None) -> Segmenter:
    """MobileSAM's own predictor with the checkpoint that the bundle was made from."""
    from edge_sam.bundles import zoo
    from edge_sam.files.cache_home import cache_home

    known = (model for model in zoo.read_index().values() if model.family == "mobile-sam")
    model = next((model for model in known if model.sha256 == weights), None)
    if model is None:
        raise InputError(f"--against torch: the zoo has no MobileSAM with the sha256 {weights[:12]}… of this bundle")
    checkpoint = zoo.checkpoint_path(model, cache_home())
    if not checkpoint.is_file():
        raise InputError(f"--against torch needs the checkpoint; pull it first: edge-sam pull {model.name}")
    with needs("bench", "--against torch"):
        from edge_sam.export.reference import TorchReference

        return TorchReference(checkpoint, threads)


def _print(report: EvalReport) -> None:
    console = plain_console()
    facts = report.dataset
    videos = f", {facts.videos} videos" if facts.videos else ""
    console.print(f"{facts.path}: {facts.photographs} photographs{videos} ({facts.layout})", soft_wrap=True)
    console.print(_describe(report.segmenter), soft_wrap=True)
    if report.against is not None:
        console.print(f"against {_describe(report.against)}", soft_wrap=True)
    for protocol in report.protocols:
        console.print()
        console.print(f"{protocol.name}: {protocol.description}", soft_wrap=True)
        _print_scores(console, protocol)
    for name, file in (report.contact_sheets or {}).items():
        console.print(f"worst cases of {name}: {file}", soft_wrap=True)


def _describe(facts: SegmenterFacts) -> str:
    shape = (", square" if facts.square else "") + (", full grid" if facts.full_grid else "")
    return f"{facts.model} {facts.precision} on {facts.provider}, long side {facts.long_side}{shape}"


def _print_scores(console: Console, protocol: ProtocolReport) -> None:
    compared = () if protocol.difference is None else ("against", "difference (95 % interval)")
    scores = table("score", "mean × 100 (95 % interval)", "objects", *compared)
    for name, estimate in protocol.scores.items():
        cells = [name, _text(name, estimate), str(estimate.objects)]
        if protocol.against is not None and protocol.difference is not None:
            cells += [_number(name, protocol.against[name].mean), _text(name, protocol.difference[name], "+")]
        scores.add_row(*cells)
    for size, estimate in protocol.by_size.items():
        scores.add_row(f"  {size}", _text("", estimate), str(estimate.objects))
    console.print(scores)
    if protocol.agreement is not None:
        agreement = protocol.agreement
        console.print(
            f"masks agree: mean IoU {agreement.mean:.4f}, worst {agreement.worst:.4f} over {agreement.masks} masks"
        )


def _text(name: str, estimate: Estimate, sign: str = "") -> str:
    low, high = (_number(name, value, sign) for value in (estimate.low, estimate.high))
    return f"{_number(name, estimate.mean, sign)} ({low} to {high})"


def _number(name: str, value: float, sign: str = "") -> str:
    """In hundredths, but numbers of clicks as they are; differences with one digit more."""
    scale, digits = (1, 2) if name.startswith("noc") else (100, 2 if sign else 1)
    return f"{round(scale * value, digits) + 0.0:{sign}.{digits}f}"
