"""What is fuzzed: one function for each reader. It gets bytes and raises `InputError`, or the reader is at fault."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from edge_sam.errors import InputError

Target = Callable[[bytes, Path], None]
"""Reads the bytes; the folder is empty and its own."""


def image(data: bytes, _: Path) -> None:
    from edge_sam.imaging.images import decode_image

    pixels = decode_image(data, "photograph")
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.size


def labels(data: bytes, folder: Path) -> None:
    from edge_sam.imaging.labels import read_labels

    path = folder / "labels.png"
    path.write_bytes(data)
    for colours in (False, True):
        stored = read_labels(path, colours=colours)
        assert np.issubdtype(stored.dtype, np.integer)
        assert stored.ndim == 2 or (colours and stored.shape[2:] == (3,))


def manifest(data: bytes, folder: Path) -> None:
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.bundles.manifest import MANIFEST

    (folder / MANIFEST).write_bytes(data)
    bundle = open_bundle(folder)
    for precision in bundle.precisions:
        bundle.component("encoder", precision, "onnx", "openvino")
        assert bundle.smallest in bundle.precisions
        assert set(bundle.exact) <= set(bundle.precisions)


@mock.patch("edge_sam.embedding.CHANNELS", 4)  # A whole embedding of 4 MiB would only slow mutations down.
@mock.patch("edge_sam.imaging.geometry.Geometry.grid_size", (2, 3))
def embedding(data: bytes, folder: Path) -> None:
    from edge_sam.embedding import ImageEmbedding

    path = folder / "embedding.npz"
    path.write_bytes(data)
    loaded = ImageEmbedding.load(path)
    loaded.save(path)
    again = ImageEmbedding.load(path)
    assert again.geometry == loaded.geometry
    assert np.array_equal(again.features, loaded.features)


def logits(data: bytes, folder: Path) -> None:
    from edge_sam.files.arrays import load_arrays
    from edge_sam.prompts import Prompt

    path = folder / "logits.npy"
    path.write_bytes(data)
    arrays = load_arrays(path, "an array")
    if arrays:
        Prompt(mask=arrays[""])


def prompts(data: bytes, folder: Path) -> None:
    """Every reader gets the same bytes: of JSON, CSV and JSON lines, and of one line on standard input."""
    from edge_sam.annotate.prompt_files import read_prompts
    from edge_sam.camera.commands import parse_line

    warnings.simplefilter("ignore", UserWarning)  # Annotations that are left out are named on purpose.
    problems = []
    for suffix in (".json", ".csv", ".jsonl"):
        path = folder / f"prompts{suffix}"
        path.write_bytes(data)
        try:
            table = read_prompts(path)
            for name in ("a.png", "cats/b.png"):
                if (known := table.find(name)) is not None:
                    assert table[known] is not None
        except InputError as error:
            problems.append(error)
    try:
        parse_line(data)
    except InputError as error:
        problems.append(error)
    if problems:
        raise problems[-1]


def coco(data: bytes, folder: Path) -> None:
    from edge_sam.evaluation.datasets.coco import read

    warnings.simplefilter("ignore", UserWarning)  # Annotations that are left out are named on purpose.
    (folder / "a.png").touch()
    (folder / "annotations.json").write_bytes(data)
    for sample in read(folder / "annotations.json", None).samples:
        for target in sample.read_targets():
            assert target.truth.shape == target.valid.shape


def checkpoint(data: bytes, folder: Path) -> None:
    from edge_sam.export.checkpoint import read_checkpoint

    path = folder / "weights.pt"
    path.write_bytes(data)
    tensors, _ = read_checkpoint(path)
    assert all(isinstance(name, str) for name in tensors)


def graph(data: bytes, folder: Path) -> None:
    """Both formats get the same bytes."""
    from edge_sam.export.checkpoint import read_checkpoint

    problems = []
    for suffix in (".onnx", ".ort"):
        path = folder / f"weights{suffix}"
        path.write_bytes(data)
        try:
            tensors, _ = read_checkpoint(path)
            assert all(isinstance(name, str) for name in tensors)
        except InputError as error:
            problems.append(error)
    if len(problems) == 2:
        raise problems[-1]


_ALL = (image, labels, manifest, embedding, logits, prompts, coco, checkpoint, graph)
TARGETS: dict[str, Target] = {target.__name__: target for target in _ALL}
