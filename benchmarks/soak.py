"""Latency and memory, minute by minute, with a camera that is twice as fast as the machine.

    python benchmarks/soak.py MINUTES [--long-side 512] [--budget-ms N] [--fps N]

First the script tracks all frames of a moving photograph, to measure the machine's frame rate. Then another process
sends twice as many frames as MJPEG over the loopback interface, and `edge_sam.Stream` tracks them for the given minutes
and writes JSON lines to the null device. The script prints one line per minute. With ``--fps`` above the machine's
rate, optical flow carries the masks between encoded frames.

Exit code 1 means that the 95th percentile of latency in the last minute is more than 10 % above the second minute's
although segmenting is no slower, that resident memory grew by more than 10 MB between them, or that it may grow by more
than 20 MB per 100,000 frames: the upper end of the 95 % interval counts.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
from memory_growth import growth, resident

import edge_sam
from edge_sam.camera.sinks import JsonSink
from edge_sam.imaging.images import read_image

PHOTOGRAPH = Path(__file__).parent.parent / "examples" / "photographs" / "coffee.png"
CUP = (76 - 40, 18, 478 - 40, 390)
"""The cup's box in the first frame."""
SWAY = 120
"""Frames per swing of the camera."""
SPEED_FRAMES = 40
"""Frames to measure the machine's speed."""
EVERY = 50
"""Frames between two samples of memory."""
MOST = 20.0
"""MB per 100,000 frames."""
STAGES = ("latency", "wait", "segment")
"""The pipeline waits, the machine segments. If only ``segment`` grows, the machine has slowed down."""


def frames() -> list[bytes]:
    """Return JPEGs of a camera that swings in front of the photograph."""
    photograph = read_image(PHOTOGRAPH)
    pictures = []
    for i in range(SWAY):
        x = 40 * np.cos(2 * np.pi * i / SWAY)
        moved = cv2.warpAffine(photograph, np.array([[1, 0, -x], [0, 1, 0]]), photograph.shape[1::-1])
        pictures.append(bytes(cv2.imencode(".jpg", moved[..., ::-1])[1]))
    return pictures


def serve(rate: float) -> None:
    """Print the port, then send the frames in a loop at this rate to the first client."""
    pictures = frames()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            begin = time.perf_counter()
            with contextlib.suppress(OSError):  # The client closes at the end.
                for i, picture in enumerate(itertools.cycle(pictures)):
                    time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
                    header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(header.encode() + picture + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.handle_request()


def speed(predictor: edge_sam.Predictor, options: dict[str, float | int | None]) -> float:
    """Return the frames per second of the machine if none is dropped."""
    with tempfile.TemporaryDirectory() as folder:
        for i, picture in enumerate(frames()[:SPEED_FRAMES]):
            Path(folder, f"{i:03d}.jpg").write_bytes(picture)
        prompt = edge_sam.Prompt(box=CUP)
        with edge_sam.Stream(folder, predictor, [prompt], every_frame=True, **options) as stream:  # type: ignore[arg-type]
            for _ in stream:
                pass
        return stream.statistics.fps


def minutes(
    stream: edge_sam.Stream, count: int, memory: dict[int, int]
) -> Iterator[tuple[dict[str, list[float]], int]]:
    """Yield the milliseconds of each stage in each minute, and the resident memory in bytes at its end.

    `memory` gets the resident memory after each of some numbers of frames.
    """
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    begin, done = time.perf_counter(), 0
    for number, frame in enumerate(stream, 1):
        if number % EVERY == 0:
            memory[number] = resident()
        for stage, durations in stages.items():
            durations.append(frame.latency_ms if stage == "latency" else frame.timings[stage])
        if time.perf_counter() - begin >= 60 * (done + 1):
            done += 1
            yield stages, resident()
            stages = {stage: [] for stage in STAGES}
            if done == count:
                return


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=int)
    parser.add_argument("--long-side", type=int)
    parser.add_argument("--budget-ms", type=float)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.minutes < 3:
        parser.error("minutes must be at least 3, because the second minute is compared with the last")
    options = {"long_side": arguments.long_side, "budget_ms": arguments.budget_ms, "fps": arguments.fps}
    predictor = edge_sam.load()
    held = speed(predictor, options)
    print(f"the machine reaches {held:.1f} frames/s; the source sends {2 * held:.1f}")
    server = subprocess.Popen([sys.executable, __file__, "3", "--serve", str(2 * held)], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        sys.exit(soak(address, predictor, options, arguments.minutes))
    finally:
        server.terminate()


def soak(address: str, predictor: edge_sam.Predictor, options: dict[str, float | int | None], count: int) -> int:
    """Track the stream for `count` minutes. Returns the exit code."""
    rows, samples = [], dict[int, int]()
    with Path(os.devnull).open("w") as nowhere:
        prompt, sinks = edge_sam.Prompt(box=CUP), [JsonSink(nowhere)]
        with edge_sam.Stream(address, predictor, [prompt], sinks=sinks, **options) as stream:  # type: ignore[arg-type]
            for stages, memory in minutes(stream, count, samples):
                p95s = {stage: float(np.percentile(durations, 95)) for stage, durations in stages.items()}
                rows.append((p95s, memory))
                told = ", ".join(f"{stage} {np.median(stages[stage]):.1f}/{p95:.1f}" for stage, p95 in p95s.items())
                rate = len(stages["latency"]) / 60
                print(f"minute {len(rows)}: {rate:.1f} frames/s; ms {told}; {memory / 2**20:.1f} MB", flush=True)
    print(stream.summary())
    (before, memory), (after, last_memory) = rows[1], rows[-1]
    grown = (last_memory - memory) / 2**20
    changes = {stage: after[stage] / before[stage] - 1 for stage in STAGES}
    told = ", ".join(f"{stage} {change:+.1%}" for stage, change in changes.items())
    print(f"last minute against the second, 95th percentiles: {told}; memory {grown:+.1f} MB")
    slope = growth(list(samples), list(samples.values()))
    print(f"{max(samples)} frames; {slope}")
    later = changes["latency"] > 0.1 and changes["segment"] <= 0.1
    return int(later or grown > 10 or slope.high > MOST)


if __name__ == "__main__":
    main()
