"""What a benchmark says in the end: `edge-sam bench --json`, `bench.json`."""

from __future__ import annotations

import msgspec

from edge_sam.evaluation.bootstrap import Estimate
from edge_sam.evaluation.variant import SegmenterFacts, Variant

SCHEMA = 2
STAGES = ("read", "preprocess", "encode", "decode", "upsample")
"""Stages of one photograph with one prompt, in order; ``decode`` is prompt encoder and mask decoder."""


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds over all measured runs."""

    p50: float
    p90: float
    p95: float
    p99: float
    min: float
    runs: int


class Ratio(msgspec.Struct, frozen=True):
    """How many times as fast as the first row: median and quartiles of the ratios within each round."""

    median: float
    low: float
    high: float


class Agreement(msgspec.Struct, frozen=True):
    """IoU of the masks with the reference's, each with the nearest; 1 is equal."""

    mean: float
    worst: float


class Energy(msgspec.Struct, frozen=True):
    """Of the whole processor, board or GPU during the runs, whatever else it does: mean, joules for one photograph."""

    joules_per_image: float
    watts: float


class Share(msgspec.Struct, frozen=True):
    """One operator or one block: milliseconds in one run, its part of the whole, how many nodes ran."""

    name: str
    ms: float
    share: float
    nodes: int


class OperatorProfile(msgspec.Struct, frozen=True):
    """Where a component's time goes, as the runtime's own profiler has it."""

    component: str
    ms: float
    """Sum over all nodes of one run; with profiling on, so more than without."""
    by_operator: list[Share]
    by_block: list[Share]
    trace: str
    """File for chrome://tracing or ui.perfetto.dev."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One combination of runtime, precision, long side and threads."""

    combination: SegmenterFacts
    threads: int | None
    start_ms: float
    """From starting the process to the start of loading: interpreter, imports, the runtime's package too."""
    load_ms: float
    """Reading files and checking their hashes."""
    compile_ms: float
    """Opening the sessions; what the runtime has in the cache from an earlier start is taken from there."""
    first_run_ms: float
    warm_up_ms: list[float]
    """Further runs before measuring, not counted."""
    stages: dict[str, Spread]
    total: Spread
    """One photograph and one prompt from file to masks."""
    accounted: float
    """Sum of the stages as a fraction of the time seen from outside the process; median."""
    images_per_second: float
    clicks_per_second: float
    """On a photograph that is encoded already."""
    speedup: Ratio
    agreement: Agreement
    agrees: bool
    rank: int | None
    """By median total among the rows that agree."""
    peak_rss_mb: float
    files_mb: float
    gpu_memory_mb: float | None = None
    """MiB of all NVIDIA devices that this combination took, where NVML tells."""
    energy: dict[str, Energy] | None = None
    """By what was measured, where the system tells."""
    miou: dict[str, Estimate] | None = None
    """By protocol of `edge-sam eval`, where a dataset was given."""
    operators: list[OperatorProfile] | None = None

    @property
    def name(self) -> str:
        """Name of the combination."""
        facts = self.combination
        return Variant(
            facts.model,
            runtime=facts.runtime,
            precision=facts.precision,
            threads=self.threads,
            long_side=facts.long_side,
        ).label


class Skipped(msgspec.Struct, frozen=True):
    """A combination that does not work here."""

    combination: str
    reason: str


class Machine(msgspec.Struct, frozen=True):
    """What was measured on."""

    processor: str
    cores: int
    features: list[str]
    system: str
    memory_mb: float | None
    versions: dict[str, str]
    governor: str | None
    mhz_first: float | None
    """After the first round; the clock of an idle processor says nothing."""
    mhz_last: float | None
    mhz_min: float | None
    """The lowest after any round."""
    celsius_max: float | None
    throttled: int | None
    """Thermal throttling events of the processor during the run."""
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
    """What masks are compared with."""
    min_agreement: float
    machine: Machine
    rows: list[Row]
    skipped: list[Skipped]
