"""Processor seconds a minute of a loaded model that idles, and of a camera at a few frames a second.

    python benchmarks/power.py [--seconds 20] [--fps 5] [--long-side 512] [--threads 2] [--runtime NAME ...]

Time that the processor works is what an idle board's battery pays for. Each line is a process of its own. ONNX
Runtime's threads spin as its own default says (``always``: also after a run), as this package sets it (``within runs``:
until the end of a run), or ``never``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from soak import CUP, frames

import edge_sam
from edge_sam.runtimes import onnxruntime_session, why_unusable
from edge_sam.video import create_video

_STOP = "session.force_spinning_stop"
_LOAD_SECONDS = 1.0
"""Between loading and the idle measurement, so that what loading left behind has come to rest."""


def spin(how: str) -> None:
    """Let the threads of ONNX Runtime's sessions spin in this way from now on."""
    if how == "never":
        vars(onnxruntime_session)["crowded"] = lambda _threads: True
    if how != "always":
        return
    package = onnxruntime_session.load_package()

    class Options(package.SessionOptions):  # type: ignore[misc, name-defined]
        def add_session_config_entry(self, key: str, value: str) -> None:
            if key != _STOP:
                super().add_session_config_entry(key, value)

    package.SessionOptions = Options  # type: ignore[attr-defined]


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """Return the picture, BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def idle(predictor: edge_sam.Predictor, seconds: float, long_side: int) -> float:
    """Return the processor seconds a minute after a photograph and a click."""
    image = decoded(frames()[0])[..., ::-1].copy()
    predictor.predict(predictor.encode(image, long_side=long_side), edge_sam.Prompt(box=CUP))
    time.sleep(_LOAD_SECONDS)
    start = time.process_time()
    time.sleep(seconds)
    return 60 * (time.process_time() - start) / seconds


def camera(predictor: edge_sam.Predictor, seconds: float, fps: float, long_side: int) -> tuple[float, float, float]:
    """Track a video that plays at `fps`. Returns processor seconds a minute, frames a second, milliseconds a frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sway.mp4"
        pictures = [decoded(each) for each in frames()]
        writer = create_video(path, fps, (pictures[0].shape[1] & ~1, pictures[0].shape[0] & ~1))
        for i in range(int(seconds * fps) + 2):
            picture = pictures[i % len(pictures)]
            writer.write(picture[: picture.shape[0] & ~1, : picture.shape[1] & ~1])
        writer.close()
        options: dict[str, Any] = {"long_side": long_side, "source_fps": fps}
        count, took = 0, []
        with edge_sam.Stream(path, predictor, [edge_sam.Prompt(box=CUP)], **options) as stream:
            for frame in stream:
                if not count:
                    start, processor = time.perf_counter(), time.process_time()
                count += 1
                took.append(frame.timings["segment"])
                if time.perf_counter() - start >= seconds:
                    break
            spent, passed = time.process_time() - processor, time.perf_counter() - start
        return 60 * spent / passed, (count - 1) / passed, float(np.median(took))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--fps", type=float, default=5)
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runtime", action="append", help="default: onnxruntime and openvino")
    parser.add_argument("--spin", help=argparse.SUPPRESS)
    given = parser.parse_args()
    runtimes = given.runtime or [name for name in ("onnxruntime", "openvino") if why_unusable(name) is None]
    if given.spin:
        spin(given.spin)
        predictor = edge_sam.load(runtime=runtimes[-1], threads=given.threads, strict=True)
        at_rest = idle(predictor, given.seconds, given.long_side)
        at_work, rate, took = camera(predictor, given.seconds, given.fps, given.long_side)
        print(
            f"| {runtimes[-1]} | {given.spin} | {at_rest:.2f} | {at_work:.1f} | {rate:.1f} | {took:.0f} |", flush=True
        )
        return
    print(f"| runtime | threads spin | idle | camera at {given.fps:g} frames/s | frames/s | segment, ms |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for runtime in runtimes:
        for how in ("always", "within runs", "never") if runtime == "onnxruntime" else ("its default",):
            subprocess.run([sys.executable, *sys.argv, "--runtime", runtime, "--spin", how], check=True)


if __name__ == "__main__":
    main()
