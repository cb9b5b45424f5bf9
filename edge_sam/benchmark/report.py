"""The report of a benchmark: `edge-sam bench --json`, `bench.json`."""

from __future__ import annotations

import msgspec

from edge_sam.evaluation.bootstrap import Estimate
from edge_sam.evaluation.variant import SegmenterFacts, Variant

SCHEMA = 2
STAGES = ("read", "preprocess", "encode", "decode", "upsample")
"""Stages of a run, in order. ``decode`` is prompt encoder and mask decoder."""


class Spread(msgspec.Struct, frozen=True):
    """Distribution of milliseconds over all timed runs."""

    p50: float
    p90: float
    p95: float
    p99: float
    min: float
    runs: int


class Ratio(msgspec.Struct, frozen=True):
    """Speedup over the first row: median and quartiles of the ratios in each round."""

    median: float
    low: float
    high: float


class ReferenceIou(msgspec.Struct, frozen=True):
    """IoU of each mask with the most similar reference mask."""

    mean: float
    worst: float


class Energy(msgspec.Struct, frozen=True):
    """Mean energy and power of the whole processor, board or GPU during the runs."""

    joules_per_image: float
    watts: float


class TimeShare(msgspec.Struct, frozen=True):
    """One operator or block: milliseconds in one run, fraction of the total, and number of nodes."""

    name: str
    ms: float
    share: float
    nodes: int


class OperatorProfile(msgspec.Struct, frozen=True):
    """Operator profile of a component, from the runtime's profiler."""

    component: str
    ms: float
    """Sum over all nodes of one run. Profiling makes it larger."""
    by_operator: list[TimeShare]
    by_block: list[TimeShare]
    trace: str
    """File for chrome://tracing or ui.perfetto.dev."""


class BenchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures of one variant: a runtime, precision, long side and number of threads."""

    combination: SegmenterFacts
    threads: int | None
    start_ms: float
    """From the start of the process to the start of loading: interpreter and imports."""
    load_ms: float
    """Reading files and checking their hashes."""
    compile_ms: float
    """Opening the sessions, with the runtime's compiled models in the cache."""
    first_run_ms: float
    warm_up_ms: list[float]
    """Further runs before the timed ones."""
    stages: dict[str, Spread]
    total: Spread
    """One photograph and one prompt, from file to masks."""
    accounted: float
    """Median ratio of the sum of the stages to the time measured in the parent process."""
    images_per_second: float
    clicks_per_second: float
    """On a photograph that is already encoded."""
    speedup: Ratio
    agreement: ReferenceIou
    agrees: bool
    rank: int | None
    """Rank by median total among the rows that agree."""
    peak_rss_mb: float
    files_mb: float
    gpu_memory_mb: float | None = None
    """MiB used on all NVIDIA devices, if NVML is available."""
    energy: dict[str, Energy] | None = None
    """By energy counter, if the machine has any."""
    miou: dict[str, Estimate] | None = None
    """By protocol of `edge-sam eval`, if a dataset was given."""
    operators: list[OperatorProfile] | None = None

    @property
    def name(self) -> str:
        """Name of the variant."""
        facts = self.combination
        return Variant(
            facts.model,
            runtime=facts.runtime,
            precision=facts.precision,
            threads=self.threads,
            long_side=facts.long_side,
        ).label


class Skipped(msgspec.Struct, frozen=True):
    """A variant that does not work here."""

    combination: str
    reason: str


class Machine(msgspec.Struct, frozen=True):
    """The machine, and its state during the benchmark."""

    processor: str
    cores: int
    features: list[str]
    system: str
    memory_mb: float | None
    versions: dict[str, str]
    governor: str | None
    mhz_first: float | None
    """After the first round, because an idle processor has a lower clock."""
    mhz_last: float | None
    mhz_min: float | None
    """The lowest reading after any round."""
    celsius_max: float | None
    throttled: int | None
    """Thermal throttling events of the processor during the benchmark."""
    notes: list[str]


class BenchReport(msgspec.Struct, frozen=True):
    """`edge-sam bench --json`."""

    schema: int
    version: str
    time: str
    """UTC, ISO 8601."""
    images: list[str]
    rounds: int
    reference: str
    """The variant whose masks the others are compared with."""
    min_agreement: float
    machine: Machine
    rows: list[BenchRow]
    skipped: list[Skipped]
