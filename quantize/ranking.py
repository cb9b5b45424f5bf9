"""What each block costs in masks, and what it saves in time, when it is quantised alone."""

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
from edge_sam.quantize.bundle_writer import add_parts
from edge_sam.quantize.objects import Trial, make_trials
from edge_sam.quantize.recipe import Blocks, default_blocks, every_block
from edge_sam.quantize.sessions import THREADS, with_graphs
from edge_sam.quantize.work import Part, Work

_log = logging.getLogger("edge_sam")
LOOKED_AT = 6
"""Photographs that blocks are ranked by."""


@dataclass(frozen=True)
class Ranked:
    """One block, quantised while all others stay as they are.

    Attributes
    ----------
    role, block : str
        Which.
    computes : bool
        Whether int8 products are tried; otherwise only weights stored as int8.
    chosen : bool
        Whether the recipe does that.
    cost : float
        Points of IoU that the masks lose against those of the float model, over `Trial` prompts.
    worst : float
        IoU of the worst mask.
    saved_ms : float, optional
        Time of the block in float less that in int8, with all blocks in int8; None where nothing computes in int8.
    """

    role: Role
    block: str
    computes: bool
    chosen: bool
    cost: float
    worst: float
    saved_ms: float | None


def count_blocks(work: Work) -> int:
    """Tell how many blocks `rank` will try."""
    return sum(len(_attempts(every_block(graph))) for graph in work.graphs.values())


def rank(work: Work, progress: Callable[[], None], *, timed: bool) -> list[Ranked]:
    """Quantise one block after the other and look at what becomes of the masks.

    Parameters
    ----------
    work : Work
        The float model and how it is quantised.
    progress : callable
        Called once for a block.
    timed : bool
        Also measure the time that each block saves.

    Returns
    -------
    list of Ranked
        The one that costs most first.
    """
    trials = make_trials(work.exact, work.photographs.judged, LOOKED_AT)
    saved = _saved_ms(work) if timed else {}
    rows = []
    for role, graph in work.graphs.items():
        default = default_blocks(work.exact.bundle.manifest.family, role, graph)
        for block, alone in _attempts(every_block(graph)):
            ious = _agreement(work, role, alone, trials)
            rows.append(
                Ranked(
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
    """List each block with what is tried of it: int8 products where it has any, else stored weights."""
    stored = [block for block in every.stored if block not in every.integer]
    return [(block, Blocks((block,), ())) for block in every.integer] + [
        (block, Blocks((), (block,))) for block in stored
    ]


def _agreement(work: Work, role: Role, blocks: Blocks, trials: Sequence[Trial]) -> list[float]:
    predictor = with_graphs(work.exact, {role: work.quantised(role, blocks)})
    return [value for trial in trials for value in trial.agreement(predictor, encode=role == "encoder")]


def _saved_ms(work: Work) -> dict[tuple[str, str], float]:
    """Profile the float model and one with every block in int8 on the first photograph to judge by."""
    parts = [
        Part(role, work.quantised(role, every_block(graph)).SerializeToString()) for role, graph in work.graphs.items()
    ]
    source, exact = work.exact.bundle, work.exact.precision
    times = {}
    with tempfile.TemporaryDirectory() as folder, Draft(Path(folder) / "all-int8", source=source) as draft:
        bundle = draft.save(add_parts(draft, source, parts, "int8", exact))  # Never finished: it is only timed.
        for precision in (exact, "int8"):
            variant = Variant(str(bundle.path), runtime="onnxruntime", precision=precision, threads=THREADS)
            try:
                tables = profile(variant, work.photographs.judged[0], _drop_trace)
            except RuntimeUnavailableError as error:
                _log.warning("no times: with every block in int8 the model is not usable: %s", error)
                return {}
            times[precision] = {(table.component, share.name): share.ms for table in tables for share in table.by_block}
    return {key: round(ms - times["int8"].get(key, 0.0), 2) for key, ms in times[exact].items()}


def _drop_trace(_component: str, _trace: bytes) -> str:
    return ""
