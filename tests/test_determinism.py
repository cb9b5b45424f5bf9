"""What docs/runtimes.md promises about bytes: the same photograph, prompts and settings give the same ones."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PHOTOGRAPHS

import edge_sam
from edge_sam.imaging.masks import iou
from edge_sam.runtimes import why_unusable

pytestmark = pytest.mark.thorough

COFFEE = PHOTOGRAPHS / "coffee.png"
PROMPTS = [
    edge_sam.Prompt(box=(76, 18, 478, 390)),
    edge_sam.Prompt(points=[(300, 120)]),
    edge_sam.Prompt(points=[(300, 120), (20, 20)], labels=[1, 0], box=(76, 18, 478, 390)),
]
SIDE = 256
IN_PROCESS = "import test_determinism, sys; print(*test_determinism.digests(sys.argv[1], int(sys.argv[2])))"


def results(predictor: edge_sam.Predictor) -> tuple[edge_sam.ImageEmbedding, list[edge_sam.Result]]:
    """Encode the cup and answer all kinds of prompts, one of them with a mask."""
    embedding = predictor.encode(COFFEE, long_side=SIDE)
    answers = predictor.predict(embedding, PROMPTS)
    return embedding, [*answers, predictor.predict(embedding, edge_sam.Prompt(mask=answers[0].logits[0]))]


@functools.cache
def digests(runtime: str, threads: int) -> list[str]:
    """Hash the embedding, the logits and the records of everything mode, computed by a model of its own."""
    predictor = edge_sam.load("mobile-sam", runtime=runtime, threads=threads, strict=True)
    embedding, answers = results(predictor)
    generator = edge_sam.MaskGenerator(predictor, points_per_side=3, long_side=SIDE, output_mode="coco_rle")
    records = json.dumps(generator.generate(COFFEE), sort_keys=True)
    found = [embedding.features.tobytes(), b"".join(answer.logits.tobytes() for answer in answers), records.encode()]
    return [hashlib.sha256(each).hexdigest()[:16] for each in found]


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if why_unusable(name):
        pytest.skip(f"{name} is not usable here")
    return name


def test_another_process_gives_the_same_bytes(runtime: str) -> None:
    """In ONNX Runtime with another number of threads too: up to three change nothing (docs/lab/determinism.md)."""
    command = [sys.executable, "-c", IN_PROCESS, runtime, "2"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == digests(runtime, 1 if runtime == "onnxruntime" else 2)


def test_three_threads_change_no_byte_in_onnx_runtime() -> None:
    """From four on, one product of the decoder is summed in other parts."""
    assert digests("onnxruntime", 3) == digests("onnxruntime", 1)


def test_masks_agree_between_runtimes_and_with_many_threads(predictor: edge_sam.Predictor) -> None:
    _, ours = results(predictor)
    for runtime, threads in (("onnxruntime", 4), ("openvino", 1)):
        if why_unusable(runtime):
            continue
        _, theirs = results(edge_sam.load("mobile-sam", runtime=runtime, threads=threads, strict=True))
        for first, second in zip(ours, theirs, strict=True):
            assert np.abs(first.scores - second.scores).max() < 1e-3
            for one, other in zip(first.masks, second.masks, strict=True):
                assert iou(one, other) >= 0.999
