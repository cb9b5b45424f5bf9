"""Sensitivity analysis: accuracy lost and time saved by quantising each block alone."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sam.benchmark.operators import profile
from edge_sam.bundles.contract import Role
from edge_sam.bundles.draft import Draft
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.evaluation.variant import Variant
from edge_sam.quantize.bundle_writer import add_components
from edge_sam.quantize.job import QuantizationJob, QuantizedComponent
from edge_sam.quantize.recipe import Blocks, default_blocks, every_block
from edge_sam.quantize.reference_masks import RankingSample, ranking_samples
from edge_sam.quantize.sessions import THREADS, with_graphs
from edge_sam.runtimes import REFERENCE

_log = logging.getLogger("edge_sam")
LOOKED_AT = 6
"""Number of photographs to rank blocks on."""


@dataclass(frozen=True)
class BlockSensitivity:
    """Effect of quantising one block alone.

    Attributes
    ----------
    role, block : str
        The block.
    computes : bool
        Whether its products compute in int8; otherwise its weights are only stored as int8.
    chosen : bool
        Whether the recipe quantises the block this way.
    cost : float
        Points of mean IoU lost against the float model's masks, over the prompts of `RankingSample`.
    worst : float
        IoU of the worst mask.
    saved_ms : float, optional
        Time in float minus time in int8, measured with all blocks in int8; None if nothing computes in int8.
    """

    role: Role
    block: str
    computes: bool
    chosen: bool
    cost: float
    worst: float
    saved_ms: float | None


def count_blocks(job: QuantizationJob) -> int:
    """Return the number of blocks that `rank_blocks` tries."""
    return sum(len(_attempts(every_block(graph))) for graph in job.graphs.values())


def rank_blocks(job: QuantizationJob, progress: Callable[[], None], *, timed: bool) -> list[BlockSensitivity]:
    """Quantise each block alone and compare the masks.

    Parameters
    ----------
    job : QuantizationJob
        The float model and how to quantise it.
    progress : callable
        Called once for each block.
    timed : bool
        Whether to measure the time that each block saves.

    Returns
    -------
    list of BlockSensitivity
        The most sensitive block first.
    """
    samples = ranking_samples(job.exact, job.photographs.evaluation, LOOKED_AT)
    saved = _saved_ms(job) if timed else {}
    rows = []
    for role, graph in job.graphs.items():
        default = default_blocks(role, graph)
        for block, alone in _attempts(every_block(graph)):
            ious = _agreement(job, role, alone, samples)
            rows.append(
                BlockSensitivity(
                    role,
                    block,
                    bool(alone.integer),
                    block in (default.integer if alone.integer else default.stored),
                    round(100 * (1 - float(np.mean(ious))), 3),
                    round(float(np.min(ious)), 3),
                    saved.get((role, block)) if alone.integer else None,
                )
            )
            progress()
    return sorted(rows, key=lambda row: -row.cost)


def _attempts(every: Blocks) -> list[tuple[str, Blocks]]:
    """List each block with what to try: int8 products if it has any, else stored weights."""
    stored = [block for block in every.stored if block not in every.integer]
    return [(block, Blocks((block,), ())) for block in every.integer] + [
        (block, Blocks((), (block,))) for block in stored
    ]


def _agreement(job: QuantizationJob, role: Role, blocks: Blocks, samples: Sequence[RankingSample]) -> list[float]:
    predictor = with_graphs(job.exact, {role: job.quantised(role, blocks)})
    return [value for sample in samples for value in sample.agreement(predictor, encode=role == "encoder")]


def _saved_ms(job: QuantizationJob) -> dict[tuple[str, str], float]:
    """Profile the float model, and the model with every block in int8, on the first photograph."""
    quantized = [
        QuantizedComponent(role, job.quantised(role, every_block(graph))) for role, graph in job.graphs.items()
    ]
    source, exact = job.exact.bundle, job.exact.precision
    times = {}
    with tempfile.TemporaryDirectory() as folder, Draft(Path(folder) / "all-int8", source=source) as draft:
        bundle = draft.save(add_components(draft, source, quantized, "int8", exact))  # Only timed, never finished.
        for precision in (exact, "int8"):
            variant = Variant(str(bundle.path), runtime=REFERENCE, precision=precision, threads=THREADS)
            try:
                tables = profile(variant, job.photographs.evaluation[0], _drop_trace)
            except RuntimeUnavailableError as error:
                _log.warning("no times: the model with every block in int8 is not usable: %s", error)
                return {}
            times[precision] = {(table.component, share.name): share.ms for table in tables for share in table.by_block}
    return {key: round(ms - times["int8"].get(key, 0.0), 2) for key, ms in times[exact].items()}


def _drop_trace(_component: str, _trace: bytes) -> str:
    return ""
