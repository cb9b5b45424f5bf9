"""The figures of `edge-sam models` and docs/models.md, from reports of `edge-sam bench` made with ``--dataset``.

edge-sam bench BUNDLE --precision w16,int8 --long-side 1024,768,512 --dataset FOLDER --report DIR
python model_figures.py DIR/bench.json ... --dataset NAME --docs ../docs/models.md

Measures nothing itself. All reports must be of one machine; ``make readme-chart`` makes them. Without reports,
``--docs`` rewrites the table from the figures that the package has.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edge_sam import InputError
from edge_sam.benchmark.compare import read_report
from edge_sam.benchmark.report import BenchReport, BenchRow
from edge_sam.bundles.bundle import BUNDLED, bundled_models, open_bundle
from edge_sam.bundles.costs import Cost, read_costs
from edge_sam.bundles.figures import FIGURES, Figure, Figures, read_figures
from edge_sam.bundles.zoo import NpmSource, ZooModel, read_index
from edge_sam.files.atomic import write_files

_MARK = "<!-- {} of benchmarks/model_figures.py -->"
_DASH = "–"


def collect(reports: Sequence[BenchReport], dataset: str) -> Figures:
    """Take the figures out of reports.

    Raises
    ------
    InputError
        The reports are of several machines, lack mIoU, or are of a model that the zoo does not have.
    """
    machines = sorted({machine(report) for report in reports})
    if len(machines) > 1:
        raise InputError(f"the reports are of several machines: {'; '.join(machines)}")
    return Figures(
        machines[0],
        max(report.time for report in reports)[:10],
        reports[0].images[0],
        dataset,
        tuple(figure(row) for report in reports for row in report.rows),
    )


def machine(report: BenchReport) -> str:
    """Name the processor that was measured on."""
    return f"{report.machine.cores} cores of {report.machine.processor} ({', '.join(report.machine.features)})"


def figure(row: BenchRow) -> Figure:
    """Return the figures of one row of a report."""
    facts, miou = row.combination, row.miou or {}
    if not {"point", "box"} <= miou.keys():
        raise InputError("a report has no mIoU by point and box; measure again with --dataset")
    return Figure(
        zoo_name(facts.weights),
        facts.precision,
        facts.runtime,
        facts.long_side,
        facts.square,
        round(row.files_mb, 1),
        round(row.stages["encode"].p50, 1),
        round(row.stages["decode"].p50 + row.stages["upsample"].p50, 1),
        round(row.total.p50, 1),
        round(100 * miou["point"].mean, 1),
        round(100 * miou["box"].mean, 1),
        miou["box"].objects,
    )


def zoo_name(weights: str) -> str:
    """Name the model of the zoo whose checkpoint or archive has a sha256."""
    for model in read_index().values():
        archives = {source.sha256 for source in model.sources if isinstance(source, NpmSource)}
        if weights in {model.sha256, *archives}:
            return model.name
    raise InputError(f"the zoo has no model with the sha256 {weights[:12]}… of a report's weights")


def page(figures: Figures) -> Iterator[str]:
    """Yield the lines of docs/models.md: what each model costs, and each precision of the package or the figures."""
    costs = read_costs()
    yield "| model | parameters | licence | GMAC | fp32 | w16 | int8 | encode, estimated |"
    yield "|---|---:|---|---:|---:|---:|---:|---:|"
    for model in read_index().values():
        yield f"| {' | '.join(cost_cells(model, costs.get(model.name), figures.estimated_ms(costs, model.name)))} |"
    yield ""
    yield "| model | precision | files | point | box | encode | click |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for name in read_index():
        sizes = packaged_sizes(name)
        for precision in dict.fromkeys([*sizes, *figures.precisions(name)]):
            row = figures.fastest(name, precision)
            yield f"| {' | '.join(cells(name, precision, sizes.get(precision), row))} |"
    yield ""
    yield caption(figures)


def packaged_sizes(name: str) -> dict[str, float]:
    """Return the MB of each precision of a model that comes with the package. The cache does not count."""
    if name not in bundled_models():
        return {}
    bundle = open_bundle(BUNDLED / name)
    return {precision: bundle.megabytes(precision) for precision in bundle.precisions}


def cost_cells(model: ZooModel, cost: Cost | None, milliseconds: float | None) -> list[str]:
    """Return the cells of a line of costs. What is not known is a dash."""
    known = [f"`{model.name}`", f"{model.parameters / 1e6:.1f} M", model.license.removeprefix("LicenseRef-")]
    estimate = _DASH if milliseconds is None else f"{milliseconds / 1000:.2g} s"
    if cost is None:
        return [*known, *[_DASH] * 4, estimate]
    return [*known, f"{cost.encode_gmac:.1f}", *(f"{megabytes:.0f} MB" for megabytes in cost.mb.values()), estimate]


def cells(name: str, precision: str, megabytes: float | None, row: Figure | None) -> list[str]:
    """Return the cells of one line. What is not known is a dash."""
    known = [f"`{name}`", precision]
    if row is None:
        return [*known, _DASH if megabytes is None else f"{megabytes:.1f} MB", *[_DASH] * 4]
    times = (f"{row.encode_ms:.0f} ms", f"{row.click_ms:.0f} ms")
    return [*known, f"{row.files_mb:.1f} MB", f"{row.point:.1f}", f"{row.box:.1f}", *times]


def replaced(text: str, table: str) -> str:
    """Return a page with another table between its two marks."""
    begin, end = _MARK.format("begin"), _MARK.format("end")
    if begin not in text or end not in text:
        raise InputError(f"the page has no lines {begin} and {end}")
    return f"{text.partition(begin)[0]}{begin}\n{table}\n{end}{text.partition(end)[2]}"


def main() -> None:
    """Write the figures of the reports given, and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="*", metavar="BENCH.JSON")
    parser.add_argument("--dataset", metavar="NAME", help="name of the dataset, for the caption")
    parser.add_argument("--output", type=Path, default=FIGURES, metavar="FIGURES.JSON")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="page whose table to rewrite")
    arguments = parser.parse_args()
    if arguments.reports and not arguments.dataset:
        parser.error("reports need --dataset NAME")
    try:
        files: dict[Path, bytes] = {}
        figures = read_figures()
        if arguments.reports:
            figures = collect([read_report(path) for path in arguments.reports], arguments.dataset)
            files[arguments.output] = msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n"
        if arguments.docs is not None:
            table = "\n".join(page(figures))
            files[arguments.docs] = replaced(arguments.docs.read_text("utf-8"), table).encode()
        write_files(files)
    except InputError as error:
        sys.exit(f"error: {error}")


def caption(figures: Figures) -> str:
    """Say what was measured, on what and when."""
    if not figures.rows:
        return "Accuracy and speed have not been measured yet."
    objects = max(row.objects for row in figures.rows)
    return (
        f"mIoU × 100 of {objects} objects of {figures.dataset}; median milliseconds of the fastest runtime at the"
        f" default input; {figures.photograph}; {figures.machine}; {figures.measured}."
    )


if __name__ == "__main__":
    main()
