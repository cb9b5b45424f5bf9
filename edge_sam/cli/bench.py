"""`edge-sam bench`: where every millisecond goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.benchmark.settings import BenchSettings
from edge_sam.cli.options import FLAT, Json
from edge_sam.cli.output import echo, needs, print_json
from edge_sam.errors import InputError

if TYPE_CHECKING:
    from edge_sam.benchmark.report import BenchReport
    from edge_sam.benchmark.variants import BenchConfig
    from edge_sam.evaluation.evaluate import Evaluation


def bench(
    bundle: str = "mobile-sam",
    /,
    *,
    image: list[Path] | None = None,
    runtime: str = "all",
    precision: str = "all",
    long_side: str = "1024",
    threads: str = "0",
    settings: Annotated[BenchSettings, FLAT] = BenchSettings(),
    dataset: Path | None = None,
    limit: int | None = None,
    per_op: bool = False,
    report: Path | None = None,
    compare: tuple[Path, Path] | None = None,
    threshold: Annotated[float, Parameter(validator=Number(gte=0))] = 10.0,
    json: Json = False,
) -> int:
    """Measure stages, start-up, memory and agreement of every combination, interleaved; or compare two reports.

    docs/benchmark.md explains the figures.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    image
        Photograph to measure on; repeatable. Default: a drawn 1280×720 scene.
    runtime
        Comma-separated runtimes, or all.
    precision
        Comma-separated precisions of the bundle, or all.
    long_side
        Comma-separated multiples of 16 up to 1024.
    threads
        Comma-separated numbers of threads; 0 is the default.
    dataset
        Also measure mIoU (point and box) of each combination, as edge-sam eval does.
    limit
        Maximum number of photographs of the dataset.
    per_op
        Profile operators; write Chrome traces beside the report.
    report
        Folder for index.html, plots and bench.json.
    compare
        OLD NEW: measure nothing; compare two bench.json. The exit code is 1 on a regression.
    threshold
        Loss in per cent that counts as a regression.
    """
    if compare is not None:
        return _compare(*compare, threshold, json)

    import msgspec

    from edge_sam.benchmark.variants import BenchConfig, expand_variants
    from edge_sam.evaluation.datasets import open_dataset
    from edge_sam.evaluation.evaluate import Evaluation
    from edge_sam.files.atomic import check_output_folder
    from edge_sam.imaging.images import read_image

    traced = report or Path("edge-sam-output")
    if report is not None or per_op:
        check_output_folder(traced)
    if report is not None:
        _require_matplotlib()
    counts = [count or None for count in _numbers(threads, "--threads")]
    variants, skipped = expand_variants(
        bundle, _names(runtime), _names(precision), _numbers(long_side, "--long-side"), counts
    )
    evaluation = None if dataset is None else Evaluation(open_dataset(dataset, limit=limit), ["point", "box"])
    with _images(image) as paths:
        for path in paths:
            read_image(path)
        config = BenchConfig(variants, skipped, paths, settings)
        result, traces = _measure(config, evaluation, traced if per_op else None)
    if image is None:
        result = msgspec.structs.replace(result, images=["drawn scene, 1280×720 JPEG"])
    _write(result, report, traces)
    if json:
        print_json(result)
    else:
        _print(result, report, traces)
    return 0


def _measure(
    config: BenchConfig, evaluation: Evaluation | None, traced: Path | None
) -> tuple[BenchReport, dict[Path, bytes]]:
    """Return the report and, for the folder `traced`, the Chrome traces of the operators."""
    from edge_sam.benchmark.additions import add_accuracy, add_operators
    from edge_sam.benchmark.bench import run_benchmark
    from edge_sam.cli.progress import progress_bar

    with progress_bar("measuring", config.steps) as progress:
        result, measured = run_benchmark(config, progress)
    if evaluation is not None:
        with progress_bar("accuracy", evaluation.steps * len(measured)) as progress:
            result = add_accuracy(result, measured, evaluation, progress)
    if traced is None:
        return result, {}
    with progress_bar("profiling", len(measured)) as progress:
        return add_operators(result, measured, config.images[0], traced, progress)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str, option: str) -> list[int]:
    parts = _names(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"{option} {text!r} is not a list of whole numbers like 1,2")
    return list(dict.fromkeys(map(int, parts)))


@contextlib.contextmanager
def _images(given: list[Path] | None) -> Iterator[list[Path]]:
    """Yield the photographs, or the drawn scene in a temporary file."""
    if given:
        yield given
        return
    import tempfile

    from edge_sam.imaging.scene import scene_jpeg

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.jpg"
        path.write_bytes(scene_jpeg())
        yield [path]


def _require_matplotlib() -> None:
    with needs("bench", "--report"):
        import edge_sam.imaging.plotting  # noqa: F401


def _write(result: BenchReport, folder: Path | None, traces: dict[Path, bytes]) -> None:
    from edge_sam.files.atomic import write_files

    files = dict(traces)
    if folder is not None:
        from edge_sam.benchmark.page import html_page
        from edge_sam.benchmark.plots import accuracy_plot, latency_plot
        from edge_sam.files.serialization import to_json

        plots = {"Latency by stage": latency_plot(result.rows)}
        files[folder / "latency.png"] = plots["Latency by stage"]
        if all(row.miou for row in result.rows):
            plots["Accuracy against latency"] = files[folder / "accuracy.png"] = accuracy_plot(result.rows, "box")
        files[folder / "index.html"] = html_page(result, plots).encode(errors="backslashreplace")
        files[folder / "bench.json"] = to_json(result, indent=1)
    write_files(files)


def _print(result: BenchReport, folder: Path | None, traces: dict[Path, bytes]) -> None:
    from edge_sam.cli.bench_tables import print_report

    print_report(result)
    for path in [*([folder / "index.html"] if folder else []), *traces]:
        echo(path)


def _compare(old: Path, new: Path, threshold: float, json: bool) -> int:
    from edge_sam.benchmark.compare import compare

    comparison = compare(old, new, threshold)
    if json:
        print_json(comparison)
    else:
        from edge_sam.cli.bench_tables import print_comparison

        print_comparison(comparison)
    return 1 if comparison.regressed else 0
