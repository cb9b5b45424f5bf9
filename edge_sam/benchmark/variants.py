"""Configuration of a benchmark: variants, photographs and rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from edge_sam.benchmark.report import Skipped
from edge_sam.benchmark.settings import BenchSettings
from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import InputError
from edge_sam.evaluation.variant import Variant
from edge_sam.runtimes import BACKENDS, is_known, why_unusable

ALL = "all"


@dataclass(frozen=True)
class BenchConfig:
    """Configuration of a benchmark.

    Attributes
    ----------
    variants : sequence of Variant
        What to measure; speedups are relative to the first.
    skipped : sequence of Skipped
        Runtimes that cannot be measured here.
    images : sequence of Path
        Photographs. Each run reads a file, encodes it, and decodes three masks for a click on its centre.
    settings : BenchSettings
        How to measure each variant.
    """

    variants: Sequence[Variant]
    skipped: Sequence[Skipped]
    images: Sequence[Path]
    settings: BenchSettings = BenchSettings()

    @property
    def steps(self) -> int:
        """Number of progress reports: one for each variant and one for each round."""
        return len(self.variants) + self.settings.rounds


def expand_variants(
    bundle: str,
    runtimes: Sequence[str],
    precisions: Sequence[str],
    long_sides: Sequence[int],
    threads: Sequence[int | None],
) -> tuple[list[Variant], list[Skipped]]:
    """Combine all settings.

    Parameters
    ----------
    bundle : str
        Name or folder.
    runtimes, precisions : sequence of str
        Names; ``all`` means every runtime, or every precision of the bundle.
    long_sides, threads : sequence
        See `edge_sam.load` and `edge_sam.Predictor.encode`.

    Returns
    -------
    variants : list of Variant
        In the given order; speedups are relative to the first.
    skipped : list of Skipped
        Runtimes that are not usable here.

    Raises
    ------
    InputError
        A runtime is unknown, the bundle lacks a precision, a long side is invalid, or nothing is left to measure.
    """
    opened = [open_bundle(bundle, each) for each in ("auto", *precisions)]
    available = [name for each in opened for name in each.precisions]
    names = _expanded(runtimes, list(BACKENDS), "runtime", is_known)
    wanted = _expanded(precisions, available, "precision", lambda name: any(each.runs_in(name) for each in opened))
    skipped = [Skipped(name, reason) for name in names if (reason := why_unusable(name)) is not None]
    usable = [name for name in names if name not in {skip.combination for skip in skipped}]
    variants = [
        Variant(bundle, runtime=runtime, precision=precision, threads=count, long_side=long_side)
        for runtime, precision, long_side, count in product(usable, wanted, long_sides, threads)
    ]
    if not variants:
        raise InputError("nothing to measure: " + "; ".join(f"{skip.combination}: {skip.reason}" for skip in skipped))
    return variants, skipped


def _expanded(given: Sequence[str], known: list[str], what: str, accepts: Callable[[str], bool]) -> list[str]:
    for name in given:
        if name != ALL and not accepts(name):
            raise InputError(f"unknown {what} {name!r}; known: {ALL}, {', '.join(dict.fromkeys(known))}")
    return list(dict.fromkeys(known if ALL in given else given))
