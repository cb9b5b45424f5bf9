"""Speed compared with MobileSAM's torch predictor and the usual plain ONNX export, in one interleaved run.

    python benchmarks/speed.py CHECKPOINT [--rounds 9] [--threads 2] [--int8 BUNDLE] [--output DIR]
        [--beside BUNDLE:PRECISION:LONG_SIDE ...] [--shapes 16:9 ...]

The photographs come one after the other. Each round runs each contender once, so that a drift of the machine's speed
affects all alike. The report has medians, and ratios within rounds. Our models are loaded again for each photograph, as
for a camera, because OpenVINO compiles for a size that keeps coming. The fraction of peak is that of the encoder alone,
without resizing. The script writes ``speed.json`` and ``speed.md`` to DIR. With --beside, encode and click of another
model are measured in ONNX Runtime in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from plain_export import export_plain
from torch.utils.flop_counter import FlopCounterMode

import edge_sam
from edge_sam.export.reference import load_predictor
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.images import read_image
from edge_sam.imaging.view import View
from edge_sam.runtimes import BACKENDS, REFERENCE, why_unusable
from edge_sam.system.machine import find_processor
from edge_sam.system.timing import elapsed_ms

Image = NDArray[np.uint8]
PHOTOGRAPHS = Path(__file__).parent.parent / "examples" / "photographs"
GRID = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 8), np.linspace(0.1, 0.9, 8)), axis=-1).reshape(-1, 2)
"""64 points, as fractions of the photograph's sides."""
_WARM_UP = 3
"""Rounds that are not counted."""
_BASES = {"64 prompts, each": "click", "click, long side 512": "click", "encoder": "encode"}
"""The stage of the others that one of ours is compared with, if it has another name."""
_SETTLE = 0.2
"""Seconds until the last contender's threads stop spinning, which would slow down the next one."""


def photographs() -> dict[str, Image]:
    """Return the project's photographs in four shapes."""
    rocket, coffee, astronaut = (
        read_image(PHOTOGRAPHS / name) for name in ("rocket.jpg", "coffee.png", "astronaut.png")
    )
    return {
        "16:9": np.ascontiguousarray(coffee[31:369]),
        "3:2": rocket,
        "1:1": astronaut,
        "portrait 2:3": np.ascontiguousarray(np.rot90(rocket)),
    }


class Torch:
    """MobileSAM's own predictor."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    def encode(self, image: Image) -> None:
        self.predictor.set_image(image)

    def click(self, x: float, y: float) -> Any:
        return self.predictor.predict(np.array([[x, y]]), np.array([1]))[0]


class Plain:
    """1024×1024 encoder and upstream's decoder that resizes the masks, in ONNX Runtime with default options."""

    def __init__(self, folder: Path, transform: Any) -> None:
        self.encoder = onnxruntime.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
        self.decoder = onnxruntime.InferenceSession(folder / "decoder.onnx", providers=["CPUExecutionProvider"])
        self.transform = transform

    def encode(self, image: Image) -> None:
        scaled = self.transform.apply_image(image)
        mean, std = (np.array(v, np.float32) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
        tensor = np.zeros((1, 3, 1024, 1024), np.float32)
        tensor[0, :, : scaled.shape[0], : scaled.shape[1]] = ((scaled - mean) / std).transpose(2, 0, 1)
        self.size = image.shape[:2]
        self.embedding = self.encoder.run(None, {"image": tensor})[0]

    def click(self, x: float, y: float) -> Any:
        coords = self.transform.apply_coords(np.array([[x, y], [0.0, 0.0]]), self.size)
        coords[1] = 0
        inputs = {
            "image_embeddings": self.embedding,
            "point_coords": coords[None].astype(np.float32),
            "point_labels": np.array([[1, -1]], np.float32),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array(self.size, np.float32),
        }
        return self.decoder.run(None, inputs)[0][0, 1:] > 0


class Beside:
    """Another model in this package: encode and click."""

    def __init__(self, spec: str, threads: int) -> None:
        bundle, precision, long_side = spec.rsplit(":", 2)
        self.predictor = edge_sam.load(bundle, runtime=REFERENCE, threads=threads, precision=precision)
        self.long_side = int(long_side)

    def encode(self, image: Image) -> None:
        self.embedding = self.predictor.encode(image, long_side=self.long_side)

    def click(self, x: float, y: float) -> Any:
        return self.predictor.predict(self.embedding, edge_sam.Prompt(points=[(x, y)])).masks


class Ours(Beside):
    """The packaged model."""

    def __init__(self, bundle: Path | str, runtime: str, threads: int, precision: str) -> None:
        self.predictor = edge_sam.load(bundle, runtime=runtime, threads=threads, precision=precision)
        self.long_side = View.long_side

    def encode_small(self, image: Image) -> None:
        self.embedding = self.predictor.encode(image, long_side=512)

    def many(self, points: NDArray[np.float64]) -> None:
        self.predictor.predict(self.embedding, [edge_sam.Prompt(points=[point]) for point in points])


def timed(action: Callable[..., Any], *arguments: Any) -> float:
    """Return the milliseconds of a call."""
    start = time.perf_counter()
    action(*arguments)
    return elapsed_ms(start)


def matrix_session(threads: int) -> onnxruntime.InferenceSession:
    """Make an ONNX Runtime session of one 2048³ matrix product."""
    a, b, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2048, 2048]) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def matrix_peak(session: onnxruntime.InferenceSession) -> float:
    """Return the GFLOP/s of a 2048³ matrix product in fp32, by the faster of torch and ONNX Runtime."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    inputs = {"a": a.numpy(), "b": b.numpy()}
    return 2 * 2048**3 / min(timed(torch.mm, a, b), timed(session.run, None, inputs)) / 1e6


def encoder_gflop(model: Any, geometry: Geometry) -> float:
    """Return the encoder's GFLOP on the photograph's tokens, including window padding, by torch's counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, *geometry.input_size))
    return float(counter.get_total_flops()) / 1e9


def run_rounds(
    peers: dict[str, Any], bundles: dict[str, tuple[str, str]], shapes: list[str], threads: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return milliseconds by ``contender|stage|photograph``, one per round, and the peaks measured in between."""
    times: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    product = matrix_session(threads)
    for shape, image in photographs().items():
        if shape not in shapes:
            continue
        usable = [name for name in BACKENDS if why_unusable(name) is None]
        ours = {
            f"{label} {name}": Ours(each, name, threads, precision)
            for label, (each, precision) in bundles.items()
            for name in usable
        }
        for number in range(-_WARM_UP, rounds):
            for name, contender in (peers | ours).items():
                time.sleep(_SETTLE)
                row = run_once(contender, shape, image)
                for stage, value in row.items() if number >= 0 else ():
                    times[f"{name}|{stage}|{shape}"].append(value)
            peaks.append(matrix_peak(product))
        print(f"{shape}: {rounds} rounds", file=sys.stderr)
    return dict(times), peaks


def run_once(contender: Any, shape: str, image: Image) -> dict[str, float]:
    """Return the milliseconds of each stage."""
    height, width = image.shape[:2]
    row = {"encode": timed(contender.encode, image)}
    row["click"] = clicks(contender, width, height)
    if isinstance(contender, Ours):
        row["encoder"] = contender.embedding.timings["encode"]
    if isinstance(contender, Ours) and shape == "16:9":
        row["64 prompts, each"] = timed(contender.many, GRID * (width, height)) / len(GRID)
        contender.encode_small(image)
        row["click, long side 512"] = clicks(contender, width, height)
    return row


def clicks(contender: Any, width: int, height: int) -> float:
    """Return the median milliseconds of three clicks."""
    return float(np.median([timed(contender.click, width * fx, height * 0.5) for fx in (0.3, 0.5, 0.7)]))


_WHOLE_PROCESS = """
import sys, edge_sam
predictor = edge_sam.load()
embedding = predictor.encode(sys.argv[1])
predictor.predict(embedding, edge_sam.Prompt(points=[(300, 150)]))
from edge_sam.benchmark.worker import peak_rss_mb
print(embedding.timings["encode"], peak_rss_mb())
"""


def whole_process(photo: Path, threads: int) -> dict[str, float]:
    """Return wall time, encode time and peak memory of a fresh process that segments one photograph."""
    environment = os.environ | {"EDGE_SAM_THREADS": str(threads)}
    command = [sys.executable, "-c", _WHOLE_PROCESS, str(photo)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    wall = elapsed_ms(start)
    encode, peak = map(float, done.stdout.split())
    return {"wall_ms": wall, "encode_ms": encode, "peak_rss_mb": peak}


def summary(times: dict[str, list[float]], peaks: list[float], gflop: dict[str, float]) -> list[dict[str, Any]]:
    """Return a row for each contender, stage and photograph: median, ratios, and our encoder's fraction of peak."""
    peak = float(np.max(peaks))
    rows = []
    for key, values in times.items():
        name, stage, shape = key.split("|")
        base_stage = _BASES.get(stage, stage)
        row = {"who": name, "stage": stage, "photograph": shape, "median_ms": round(float(np.median(values)), 2)}
        for other in ("plain ONNX Runtime", "torch"):
            base = np.array(times[f"{other}|{base_stage}|{shape}"])
            row[f"times_faster_than_{other.split()[0]}"] = round(float(np.median(base / np.array(values))), 2)
        if stage == "encoder":
            row["fraction_of_peak"] = round(gflop[shape] / (np.median(values) / 1000) / peak, 3)
        rows.append(row)
    return rows


def markdown(report: dict[str, Any]) -> str:
    """Format the report as a table."""
    lines = [
        "| who | stage | photograph | median ms | × plain | × torch | of matrix peak |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        lines.append(
            f"| {row['who']} | {row['stage']} | {row['photograph']} | {row['median_ms']:.1f} |"
            f" {row['times_faster_than_plain']:.2f} | {row['times_faster_than_torch']:.2f} |"
            f" {row.get('fraction_of_peak', '')} |"
        )
    process = report["process"]
    lines += [
        "",
        f"Fresh process, 16:9, package's model: {process['wall_ms']:.0f} ms to the first mask, of which encode"
        f" {process['encode_ms']:.0f} ms; peak memory {process['peak_rss_mb']:.0f} MB.",
        "",
        f"{report['machine']}; matrix peak {report['peak_gflops']:.0f} GFLOP/s; medians of {report['rounds']} rounds.",
    ]
    return "\n".join(lines) + "\n"


def machine(threads: int) -> str:
    """Describe the machine."""
    processor = find_processor()
    sets = [name for name, has in (processor.instruction_sets or {}).items() if has]
    name = f"{processor.name} with {', '.join(sets)}"
    versions = f"ONNX Runtime {onnxruntime.__version__}, torch {torch.__version__}, OpenCV {cv2.__version__}"
    return f"{name}; {threads} threads; {versions}"


def main() -> None:
    """Run and write the reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--bundle", default="mobile-sam")
    parser.add_argument("--int8", help="A bundle with the precision int8, from edge-sam quantize.")
    parser.add_argument("--beside", nargs="*", default=[])
    parser.add_argument("--shapes", nargs="*", default=list(photographs()))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reference = load_predictor(arguments.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "16x9.png"
        cv2.imwrite(str(photo), photographs()["16:9"][..., ::-1])
        processes = [whole_process(photo, arguments.threads) for _ in range(6)][1:]
        export_plain(reference, Path(folder))
        peers: dict[str, Any] = {
            "torch": Torch(reference),
            "plain ONNX Runtime": Plain(Path(folder), reference.transform),
        }
        peers |= {spec: Beside(spec, arguments.threads) for spec in arguments.beside}
        bundles = {"edge_sam": (arguments.bundle, "auto")}
        if arguments.int8:
            bundles["edge_sam int8"] = (arguments.int8, "int8")
        times, peaks = run_rounds(peers, bundles, arguments.shapes, arguments.threads, arguments.rounds)
    from edge_sam.export.torch_model import load_model

    encoder = load_model(arguments.checkpoint)[1].encoder
    gflop = {
        shape: encoder_gflop(encoder, Geometry((image.shape[0], image.shape[1])))
        for shape, image in photographs().items()
    }
    report = {
        "machine": machine(arguments.threads),
        "rounds": arguments.rounds,
        "peak_gflops": float(np.max(peaks)),
        "encoder_gflop": gflop,
        "rows": summary(times, peaks, gflop),
        "process": {key: float(np.median([process[key] for process in processes])) for key in processes[0]},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "speed.json").write_text(json.dumps(report, indent=1))
    (arguments.output / "speed.md").write_text(markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
