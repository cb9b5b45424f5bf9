"""Quantising a bundle, from the check of what was given to the accuracy gate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx
from onnx import ModelProto

from edge_sam.bundles.bundle import Bundle, Calibration
from edge_sam.bundles.contract import Role
from edge_sam.bundles.draft import Draft, made_further
from edge_sam.errors import AccuracyError, InputError, RuntimeUnavailableError
from edge_sam.predictor import Predictor
from edge_sam.quantize.accuracy import OWN, Accuracy, find_truths, judge
from edge_sam.quantize.bundle_writer import add_parts, measured
from edge_sam.quantize.makers import MAKERS, Maker
from edge_sam.quantize.observers import OBSERVERS
from edge_sam.quantize.photographs import Photographs, find_photographs
from edge_sam.quantize.ranking import Ranked, count_blocks, rank
from edge_sam.quantize.sessions import ROLES, open_predictor, with_graphs
from edge_sam.quantize.settings import QuantizeSettings
from edge_sam.quantize.targets import TARGETS, Target
from edge_sam.quantize.work import Work

_BLAMED = 5
Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a step of so many parts, in words; what it yields is called after each."""


@dataclass(frozen=True)
class Outcome:
    """What quantising gave.

    Attributes
    ----------
    bundle : Bundle
        The new bundle.
    precision : str
        The one that was added.
    calibration : Calibration or None
        What int8 was calibrated with.
    accuracies : list of Accuracy
        How good its masks are.
    skipped : int
        Calibration files that could not be used.
    ranking : list of Ranked
        What each block costs and saves, where that was asked for.
    """

    bundle: Bundle
    precision: str
    calibration: Calibration | None
    accuracies: list[Accuracy]
    skipped: int
    ranking: list[Ranked]


def quantize_bundle(
    source: Bundle,
    output: Path,
    settings: QuantizeSettings,
    steps: Steps,
    *,
    overwrite: bool = False,
    explain: bool = False,
) -> Outcome:
    """Copy a bundle and add a quantised precision to it, if its masks are good enough.

    Parameters
    ----------
    source : Bundle
        A bundle in ``fp32`` or ``w16``.
    output : Path
        Folder to make.
    settings : QuantizeSettings
        How.
    steps : callable
        Shows progress.
    overwrite : bool
        Replace an existing bundle.
    explain : bool
        Also rank the blocks.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        A setting is unknown, the photographs cannot be used or show no object, or the bundle has that precision
        already.
    AccuracyError
        The masks are worse than `QuantizeSettings.max_drop` allows. Nothing is written then.
    """
    target, maker = _check(source, settings, explain)
    draft = Draft(output, overwrite=overwrite, source=source)
    photographs = find_photographs(settings.calibration, settings.samples if maker.calibrated else 0, settings.seed)
    exact = open_predictor(source, source.exact[0])
    truths = find_truths(exact, photographs)
    if explain and truths[-1].name != OWN:
        raise InputError("--explain ranks blocks by objects that the float model finds, and here it is sure of none")
    with steps("calibrating", len(photographs.calibration)) as progress:
        work = Work(exact, _graphs(exact), photographs, target, settings.observer, settings.seed, progress)
        parts = maker.make(work)
    with draft:
        manifest = add_parts(draft, source, parts, settings.precision, exact.precision)
        quantised = _open_quantised(draft.save(manifest), settings.precision, target.runtime)
        judged = {part.role: part.judged for part in parts if part.judged is not None}
        if judged:
            quantised = with_graphs(exact, judged)
        with steps("comparing masks", sum(len(truth.data.samples) for truth in truths)) as progress:
            accuracies = [judge(truth, exact, quantised, settings.seed, progress) for truth in truths]
        _require(accuracies, settings, work, steps)
        calibration = _calibration(settings, target, photographs) if maker.calibrated else None
        protocol = _protocol(target, exact.precision)
        command = _command(manifest.name, draft.output.name, settings, target)
        manifest = msgspec.structs.replace(
            manifest,
            name=draft.output.name,
            made_by=made_further(manifest.made_by, command, "onnx", "onnxruntime"),
            measured=(*manifest.measured, *(measured(each, settings.precision, protocol) for each in accuracies)),
            calibrations=(*manifest.calibrations, *([calibration] if calibration else [])),
        )
        bundle = draft.finish(manifest)
    # Last, because it takes the longest and the bundle is good without it.
    ranking = _ranking(work, steps, timed=True) if explain else []
    return Outcome(bundle, settings.precision, calibration, accuracies, photographs.skipped, ranking)


def _check(source: Bundle, settings: QuantizeSettings, explain: bool) -> tuple[Target, Maker]:
    known = {
        "precision": (settings.precision, list(MAKERS)),
        "target": (settings.target or "cpu", list(TARGETS)),
        "observer": (settings.observer, list(OBSERVERS)),
    }
    for what, (given, names) in known.items():
        if given not in names:
            raise InputError(f"unknown {what} {given!r}; known: {', '.join(names)}")
    targets = MAKERS[settings.precision]
    target = settings.target or next(iter(targets))
    if target not in targets:
        raise InputError(f"{settings.precision} is not made for {target}, but for {', '.join(targets)}")
    if settings.precision in source.precisions:
        raise InputError(f"bundle {source.manifest.name} has {settings.precision} already; quantise the one without it")
    if explain and not targets[target].calibrated:
        raise InputError(f"--explain ranks blocks of int8; there is nothing to choose in {settings.precision}")
    return TARGETS[target], targets[target]


def _graphs(exact: Predictor) -> dict[Role, ModelProto]:
    bundle = exact.bundle
    return {role: onnx.load(bundle.verified_file(bundle.component(role, exact.precision, "onnx"))) for role in ROLES}


def _open_quantised(bundle: Bundle, precision: str, runtime: str) -> Predictor:
    """Load the draft as a user will, guard included."""
    try:
        return open_predictor(bundle, precision, runtime)
    except RuntimeUnavailableError as error:
        raise AccuracyError(f"{precision} is too far from the float model, so nothing was written: {error}") from error


def _require(accuracies: list[Accuracy], settings: QuantizeSettings, work: Work, steps: Steps) -> None:
    """Raise where the masks are not good enough, and find out which blocks are to blame."""
    accuracy = accuracies[0]
    allowed = accuracy.allowed(settings.max_drop)
    if accuracy.drop <= allowed:
        return
    blame = ""
    if MAKERS[settings.precision][work.target.name].calibrated and accuracies[-1].truth == OWN:
        to_blame = [row for row in _ranking(work, steps, timed=False) if row.chosen][:_BLAMED]
        blame = "; most is lost in " + ", ".join(f"{row.role} {row.block} ({row.cost:.2f})" for row in to_blame)
    raise AccuracyError(
        f"{settings.precision} costs {accuracy.drop:.2f} points of mIoU against {accuracy.truth}"
        f" ({allowed:g} allowed), so nothing was written{blame}"
    )


def _ranking(work: Work, steps: Steps, *, timed: bool) -> list[Ranked]:
    with steps("ranking blocks", count_blocks(work)) as progress:
        return rank(work, progress, timed=timed)


def _calibration(settings: QuantizeSettings, target: Target, photographs: Photographs) -> Calibration:
    return Calibration(
        precision=settings.precision,
        format="onnx",
        target=target.name,
        observer=settings.observer,
        seed=settings.seed,
        photographs=len(photographs.calibration),
        fingerprint=photographs.fingerprint,
    )


def _command(source: str, output: str, settings: QuantizeSettings, target: Target) -> str:
    return (
        f"edge-sam quantize {source} --calibration {settings.calibration.name} --output {output}"
        f" --precision {settings.precision} --target {target.name} --observer {settings.observer}"
        f" --samples {settings.samples} --seed {settings.seed} --max-drop {settings.max_drop:g}"
    )


def _protocol(target: Target, exact: str) -> str:
    where = "" if target.checked_here else f"; the kernels of {target.name} were not run"
    return f"edge-sam eval's point and box, {target.runtime} on the CPU, agreement with {exact}{where}"
