"""Throughput of the data engine, relative to the model's encode and decode alone.

    python benchmarks/annotate.py SOURCE --prompts FILE|grid [--limit 40] [--workers 2] [--threads 1] [--rounds 2]
        [--output FILE]

"Alone" is encode and decode with the photograph in memory, without using the logits. With the grid it is everything
mode itself. Two ratios describe the engine's overhead. The times of each ratio are taken at the same moment, so that a
drift of the machine's speed cancels out:

- `worker`: time alone, divided by the time of a whole worker (which reads and decodes the file, and draws, measures and
  encodes masks). One process does both on each photograph in turn. The ratio is of the sums.
- `busy`: fraction of the engine's time in which its workers work on photographs, after each has done two.

`share` is their product.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import edge_sam
from edge_sam.annotate.limits import Limits
from edge_sam.annotate.pipeline import annotate
from edge_sam.annotate.pool import run_pool
from edge_sam.annotate.prompt_files import read_prompts
from edge_sam.annotate.records import Outcome, Task
from edge_sam.annotate.sources import open_source
from edge_sam.annotate.store import Store
from edge_sam.annotate.tasks import make_tasks
from edge_sam.annotate.worker import Annotator, Job, mask_generator
from edge_sam.everything.settings import Grid
from edge_sam.imaging.images import read_image
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions


def worker_share(job: Job, tasks: Sequence[Task]) -> tuple[float, float]:
    """Return the seconds of encode and decode alone, and of a whole worker, summed over all photographs."""
    predictor = edge_sam.load(job.model, runtime=job.run.runtime, precision=job.run.precision, threads=job.run.threads)
    generator, annotator = mask_generator(job, predictor), Annotator(job)

    def alone(task: Task) -> float:
        image = read_image(task.item.path)
        prompts = [edge_sam.Prompt(box=prompt.box, points=prompt.points) for prompt in task.prompts]
        start = time.perf_counter()
        if generator is not None:
            generator.generate(image)
        else:
            embedding = predictor.encode(image, long_side=job.view.long_side, square=job.view.square)
            list(predictor.answers(embedding, prompts))
        return time.perf_counter() - start

    alone(tasks[0]), annotator(tasks[0])
    pairs = [(alone(task), annotator(task).seconds) for task in tasks]
    return sum(bare for bare, _ in pairs), sum(whole for _, whole in pairs)


def engine(job: Job, tasks: Sequence[Task], workers: int) -> tuple[list[tuple[float, float]], float, float]:
    """Run the engine: time and seconds of each photograph, seconds of the run, peak memory of a worker in MiB."""
    done, peak = [], 0.0

    def watched(todo: Sequence[Task]) -> Generator[Outcome, None, None]:
        nonlocal peak
        for outcome in run_pool(job, todo, workers, lambda: False):
            peak = max([peak, *(_peak_rss(process.pid) for process in multiprocessing.active_children())])
            yield outcome
            done.append((time.perf_counter(), outcome.seconds))  # The record is written now.

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "work"))
        start = time.perf_counter()
        with store.opened({}, restart=False):
            annotate(
                tasks,
                watched,
                store,
                Path(folder, "out.json"),
                sa1b=False,
                categories=None,
                stopped=lambda: False,
                show=lambda _: lambda: None,
            )
        return done, time.perf_counter() - start, peak


def _peak_rss(pid: int | None) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0


def main() -> None:
    """Measure and print one line of JSON for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--limit", type=int, default=40, help="Photographs, evenly spread.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the last round.")
    arguments = parser.parse_args()
    grid = arguments.prompts == "grid"
    table = None if grid else read_prompts(Path(arguments.prompts))
    items = open_source(arguments.source)
    tasks = make_tasks(items[:: max(1, len(items) // arguments.limit)][: arguments.limit], table, None)
    run = RunOptions(runtime="onnxruntime", precision="w16", threads=arguments.threads)
    job = Job("mobile-sam", run, View(square=grid), Limits(), grid=Grid() if grid else None)
    for _ in range(arguments.rounds):
        bare, whole = worker_share(job, tasks)
        done, seconds, peak = engine(job, tasks, arguments.workers)
        # Unfinished photographs at the start and the end of the counted time compensate for each other.
        warm, last = 2 * arguments.workers, len(done) - arguments.workers
        elapsed = done[last][0] - done[warm][0]
        busy = sum(taken for _, taken in done[warm + 1 : last + 1]) / (arguments.workers * elapsed)
        row = {
            "photographs": len(tasks),
            "alone_ms": round(1000 * bare / len(tasks)),
            "worker": round(bare / whole, 3),
            "busy": round(busy, 3),
            "share": round(bare / whole * busy, 3),
            "per_second": round((last - warm) / elapsed, 3),
            "whole_run_seconds": round(seconds, 1),
            "worker_peak_mb": round(peak),
        }
        print(json.dumps(row), flush=True)
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(row))


if __name__ == "__main__":
    main()
