"""Read and write videos with PyAV and with OpenCV: milliseconds, file sizes and quality.

    python benchmarks/video.py FRAMES [VIDEO …]

FRAMES is a folder of pictures. The script writes them as videos and reads these back, and reads each VIDEO. Each
library runs in its own process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_sam.errors import InputError
from edge_sam.imaging.images import pictures, read_image
from edge_sam.video import VideoFile, create_video

ROUNDS = 5


def best(action: Callable[[], object]) -> str:
    """Return the fastest round in milliseconds: wall time, and CPU time of all threads."""
    clock, cpu = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter(), time.process_time()
        action()
        clock.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return f"{1000 * min(clock):.0f} ({1000 * min(cpu):.0f} CPU)"


def read(path: Path) -> list[np.ndarray]:
    """Read all frames, RGB."""
    video, frames = VideoFile(path), []
    while (frame := video.read()) is not None:
        frames.append(frame)
    video.close()
    return frames


def write(path: Path, frames: list[np.ndarray]) -> None:
    """Write all frames, BGR."""
    writer = create_video(path, 25, (frames[0].shape[1], frames[0].shape[0]))
    for frame in frames:
        writer.write(frame)
    writer.close()


def measure_writing(library: str, path: Path, frames: list[np.ndarray]) -> None:
    """Write a video, read it back and print its row."""
    turned = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)) for frame in frames]
    wrote = best(lambda: write(path, turned))
    error = np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(read(path), frames, strict=True)])
    quality = f"{path.stat().st_size / 1e6:.1f} MB, {10 * np.log10(255**2 / error):.1f} dB"
    print(f"| {library} | {len(frames)} frames {path.suffix} | {wrote} | {quality} | {best(lambda: read(path))} |")


def measure_reading(library: str, path: Path) -> None:
    """Read a video and print its row."""
    try:
        count = len(read(path))
    except InputError as error:
        print(f"| {library} | {path.name} | | | {error} |")
        return
    print(f"| {library} | {count} frames of {path.name} | | | {best(lambda: read(path))} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--library", choices=("pyav", "opencv"), help="Run only this one, in this process.")
    arguments = parser.parse_args()
    if arguments.library is None:
        print("| library | what | written, ms | | read, ms |\n| --- | --- | --- | --- | --- |", flush=True)
        for library in ("pyav", "opencv"):
            subprocess.run([sys.executable, *sys.argv, "--library", library], check=True)
        return
    if arguments.library == "opencv":
        sys.modules["av"] = None  # type: ignore[assignment]  # As if it were not installed.
    frames = [read_image(file) for file in pictures(arguments.frames)[:60]]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mp4", ".avi", ".webm"):
            measure_writing(arguments.library, Path(folder, f"written{suffix}"), frames)
    for video in arguments.videos:
        measure_reading(arguments.library, video)


if __name__ == "__main__":
    main()
