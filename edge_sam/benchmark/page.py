"""The report as a self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

from edge_sam.benchmark.columns import Column, added_columns, columns
from edge_sam.benchmark.report import STAGES, BenchReport, BenchRow, Machine, OperatorProfile

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #d0d7de; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
tr.disagrees { color: #b3261e }
img { max-width: 100%; height: auto }
.wide { overflow-x: auto }
"""
_TIMES = ("rank", "total", "p90", "p95", "p99", "min", *STAGES, "× first (quartiles)")
_SPEED = ("provider", "start", "load", "compile", "first run", "images/s", "clicks/s")
_REST = (*_SPEED, "RSS", "GPU", "files", "agreement", "worst")
_LARGEST = 12
"""Most operators and blocks in a table."""


def html_page(report: BenchReport, plots: Mapping[str, bytes]) -> str:
    """Render a report as HTML.

    Parameters
    ----------
    report : BenchReport
        The report.
    plots : mapping of str to bytes
        PNG by title; they are embedded.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>edge-sam bench</title><style>{_STYLE}</style><h1>edge-sam bench</h1>",
        f"<p>{_text(report.time)}, edge_sam {_text(report.version)}, {report.rounds} rounds, interleaved."
        " A run reads one photograph and returns three masks for a click on its centre."
        f" Masks are compared with {_text(report.reference)}. A row with a mean IoU below {report.min_agreement:g} is"
        " marked and not ranked.</p>",
    ]
    for title, png in plots.items():
        source = base64.b64encode(png).decode("ascii")
        parts.append(f"<h2>{_text(title)}</h2><img alt='{_text(title)}' src='data:image/png;base64,{source}'>")
    rest = columns(*_REST) | added_columns(report.rows)
    parts += ["<h2>Times</h2>", _figures("ms, p50", report.rows, columns(*_TIMES))]
    parts += ["<h2>Start, memory, agreement</h2>", _figures("ms, MiB, MB", report.rows, rest)]
    for row in report.rows:
        for profile in row.operators or ():
            parts.append(f"<h2>{_text(row.name)}: {_text(profile.component)} by operator and by block</h2>")
            parts.append(_operators(profile))
    if report.skipped:
        parts.append("<h2>Not measured</h2>")
        parts.append(_table(["combination", "why"], ([skip.combination, skip.reason] for skip in report.skipped)))
    parts += ["<h2>Machine</h2>", _machine(report.machine), f"<p>Images: {_text(', '.join(report.images))}</p>"]
    return "\n".join(parts) + "</html>\n"


def _figures(title: str, rows: Sequence[BenchRow], shown: Mapping[str, Column]) -> str:
    body = ([row.name, *(cell(row) for cell in shown.values())] for row in rows)
    return _table([title, *shown], body, ["" if row.agrees else "disagrees" for row in rows])


def _operators(profile: OperatorProfile) -> str:
    tables = []
    for title, shares in (("operator", profile.by_operator), ("block", profile.by_block)):
        body = ([s.name, f"{s.ms:.2f}", f"{100 * s.share:.1f} %", str(s.nodes)] for s in shares[:_LARGEST])
        tables.append(_table([title, "ms", "share", "nodes"], body))
    return f"<p>{profile.ms:.1f} ms in total; trace: {_text(profile.trace)}</p>" + "".join(tables)


def _machine(machine: Machine) -> str:
    facts = {
        "processor": f"{machine.processor}, {machine.cores} cores; {', '.join(machine.features)}",
        "system": machine.system,
        "memory": "–" if machine.memory_mb is None else f"{machine.memory_mb:.0f} MiB",
        "clock": f"{_mhz(machine.mhz_first)} after the first round, {_mhz(machine.mhz_last)} after the last,"
        f" lowest {_mhz(machine.mhz_min)}",
        "warmest": "–" if machine.celsius_max is None else f"{machine.celsius_max:.0f} °C",
        **machine.versions,
        "notes": "; ".join(machine.notes) or "–",
    }
    return _table(["", ""], ([name, value] for name, value in facts.items()))


def _mhz(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} MHz"


def _table(header: Sequence[str], body: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    rows = []
    for i, cells in enumerate(body):
        kind = f" class={classes[i]}" if classes and classes[i] else ""
        rows.append(f"<tr{kind}>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    return f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
