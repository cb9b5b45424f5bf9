"""Quantise a bundle: check the settings, calibrate, convert, and pass the accuracy gate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from onnx import ModelProto

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.draft import Draft, with_command
from edge_sam.bundles.graph_weights import read_graph
from edge_sam.bundles.manifest import Calibration
from edge_sam.errors import AccuracyError, InputError, RuntimeUnavailableError
from edge_sam.predictor import Predictor
from edge_sam.quantize.accuracy import OWN, Accuracy, find_ground_truths, measure_accuracy
from edge_sam.quantize.bundle_writer import add_components, measured
from edge_sam.quantize.job import QuantizationJob
from edge_sam.quantize.observers import OBSERVERS
from edge_sam.quantize.photographs import Photographs, find_photographs
from edge_sam.quantize.ranking import BlockSensitivity, count_blocks, rank_blocks
from edge_sam.quantize.schemes import SCHEMES, Scheme
from edge_sam.quantize.sessions import ROLES, open_predictor, with_graphs
from edge_sam.quantize.settings import QuantizeSettings
from edge_sam.quantize.targets import TARGETS, KernelTarget

_MOST_CULPRITS = 5
Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a progress step with a title and a number of parts. The yielded function is called after each part."""


@dataclass(frozen=True)
class QuantizationResult:
    """Result of quantisation.

    Attributes
    ----------
    bundle : Bundle
        The new bundle.
    precision : str
        The precision that was added.
    calibration : Calibration or None
        How int8 was calibrated; None for other precisions.
    accuracies : list of Accuracy
        Accuracy against known masks, if there are any, and against the float model's masks.
    skipped : int
        Number of calibration files that could not be used.
    ranking : list of BlockSensitivity
        Cost and saving of each block, if `explain` was set.
    """

    bundle: Bundle
    precision: str
    calibration: Calibration | None
    accuracies: list[Accuracy]
    skipped: int
    ranking: list[BlockSensitivity]


def quantize_bundle(
    source: Bundle,
    output: Path,
    settings: QuantizeSettings,
    steps: Steps,
    *,
    overwrite: bool = False,
    explain: bool = False,
) -> QuantizationResult:
    """Copy a bundle and add a quantised precision, if its accuracy is good enough.

    Parameters
    ----------
    source : Bundle
        A bundle with ``fp32`` or ``w16``.
    output : Path
        Folder of the new bundle.
    settings : QuantizeSettings
        How to quantise.
    steps : callable
        Shows progress.
    overwrite : bool
        Replace an existing bundle.
    explain : bool
        Also rank the blocks.

    Returns
    -------
    QuantizationResult

    Raises
    ------
    InputError
        A setting is invalid, the photographs cannot be used or show no object, or the bundle already has the
        precision.
    AccuracyError
        The loss is larger than `QuantizeSettings.max_drop` allows. Nothing is written.
    """
    target, scheme = _check(source, settings, explain)
    draft = Draft(output, overwrite=overwrite, source=source)
    photographs = find_photographs(settings.calibration, settings.samples if scheme.calibrated else 0, settings.seed)
    exact = open_predictor(source, source.exact[0])
    truths = find_ground_truths(exact, photographs)
    if explain and truths[-1].name != OWN:
        raise InputError(
            "--explain ranks blocks by objects that the float model finds; it finds none here with confidence"
        )
    with steps("calibrating", len(photographs.calibration)) as progress:
        job = QuantizationJob(exact, _graphs(exact), photographs, target, settings.observer, settings.seed, progress)
        quantized = scheme.quantize(job)
    with draft:
        manifest = add_components(draft, source, quantized, settings.precision, exact.precision)
        candidate = _open_quantised(draft.save(manifest), settings.precision, target.runtime)
        rounded = {part.role: part.rounded for part in quantized if part.rounded is not None}
        if rounded:
            candidate = with_graphs(exact, rounded)
        with steps("comparing masks", sum(len(truth.data.samples) for truth in truths)) as progress:
            accuracies = [measure_accuracy(truth, exact, candidate, settings.seed, progress) for truth in truths]
        _require(accuracies, settings, job, steps)
        calibration = _calibration(settings, target, photographs) if scheme.calibrated else None
        protocol = _protocol(target, exact.precision)
        command = _command(manifest.name, draft.output.name, settings, target)
        manifest = msgspec.structs.replace(
            manifest,
            name=draft.output.name,
            made_by=with_command(manifest.made_by, command, "onnx", "onnxruntime"),
            measured=(*manifest.measured, *(measured(each, settings.precision, protocol) for each in accuracies)),
            calibrations=(*manifest.calibrations, *([calibration] if calibration else [])),
        )
        bundle = draft.finish(manifest)
    # Last, because it takes longest and the bundle does not depend on it.
    ranking = _ranking(job, steps, timed=True) if explain else []
    return QuantizationResult(bundle, settings.precision, calibration, accuracies, photographs.skipped, ranking)


def _check(source: Bundle, settings: QuantizeSettings, explain: bool) -> tuple[KernelTarget, Scheme]:
    known = {
        "precision": (settings.precision, list(SCHEMES)),
        "target": (settings.target or "cpu", list(TARGETS)),
        "observer": (settings.observer, list(OBSERVERS)),
    }
    for what, (given, names) in known.items():
        if given not in names:
            raise InputError(f"unknown {what} {given!r}; known: {', '.join(names)}")
    targets = SCHEMES[settings.precision]
    target = settings.target or next(iter(targets))
    if target not in targets:
        raise InputError(f"{settings.precision} is not available for {target}, only for {', '.join(targets)}")
    if settings.precision in source.precisions:
        raise InputError(f"bundle {source.manifest.name} already has {settings.precision}; quantise one without it")
    if explain and not targets[target].calibrated:
        raise InputError(f"--explain ranks blocks of int8; {settings.precision} has no choice of blocks")
    return TARGETS[target], targets[target]


def _graphs(exact: Predictor) -> dict[Role, ModelProto]:
    bundle = exact.bundle
    return {role: read_graph(bundle.verified_file(bundle.component(role, exact.precision, "onnx"))) for role in ROLES}


def _open_quantised(bundle: Bundle, precision: str, runtime: str) -> Predictor:
    """Load the draft as users will, including the guard."""
    try:
        return open_predictor(bundle, precision, runtime)
    except RuntimeUnavailableError as error:
        raise AccuracyError(f"{precision} is too far from the float model, so nothing was written: {error}") from error


def _require(accuracies: list[Accuracy], settings: QuantizeSettings, job: QuantizationJob, steps: Steps) -> None:
    """Raise if accuracy is too low, naming the blocks that lose most."""
    accuracy = accuracies[0]
    allowed = accuracy.allowed(settings.max_drop)
    if accuracy.drop <= allowed:
        return
    culprits = ""
    if SCHEMES[settings.precision][job.target.name].calibrated and accuracies[-1].truth == OWN:
        worst = [row for row in _ranking(job, steps, timed=False) if row.chosen][:_MOST_CULPRITS]
        culprits = "; most is lost in " + ", ".join(f"{row.role} {row.block} ({row.cost:.2f})" for row in worst)
    raise AccuracyError(
        f"{settings.precision} costs {accuracy.drop:.2f} points of mIoU against {accuracy.truth}"
        f" ({allowed:g} allowed), so nothing was written{culprits}"
    )


def _ranking(job: QuantizationJob, steps: Steps, *, timed: bool) -> list[BlockSensitivity]:
    with steps("ranking blocks", count_blocks(job)) as progress:
        return rank_blocks(job, progress, timed=timed)


def _calibration(settings: QuantizeSettings, target: KernelTarget, photographs: Photographs) -> Calibration:
    return Calibration(
        precision=settings.precision,
        format="onnx",
        target=target.name,
        observer=settings.observer,
        seed=settings.seed,
        photographs=len(photographs.calibration),
        fingerprint=photographs.fingerprint,
    )


def _command(source: str, output: str, settings: QuantizeSettings, target: KernelTarget) -> str:
    return (
        f"edge-sam quantize {source} --calibration {settings.calibration.name} --output {output}"
        f" --precision {settings.precision} --target {target.name} --observer {settings.observer}"
        f" --samples {settings.samples} --seed {settings.seed} --max-drop {settings.max_drop:g}"
    )


def _protocol(target: KernelTarget, exact: str) -> str:
    where = "" if target.checked_here else f"; not run on the kernels of {target.name}"
    return f"edge-sam eval's point and box, {target.runtime} on the CPU, agreement with {exact}{where}"
