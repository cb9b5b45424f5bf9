"""Saving and loading image embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sam import ImageEmbedding, InputError, Predictor, Prompt
from edge_sam.imaging.geometry import Geometry

PROMPT = Prompt(box=(76, 18, 478, 390))


def test_round_trip_gives_the_same_masks(predictor: Predictor, embedding: ImageEmbedding, tmp_path: Path) -> None:
    embedding.save(tmp_path / "cup.npz")
    loaded = ImageEmbedding.load(tmp_path / "cup.npz")
    np.testing.assert_array_equal(loaded.features, embedding.features)
    assert loaded.geometry == embedding.geometry
    a, b = (predictor.predict(e, PROMPT) for e in (embedding, loaded))
    np.testing.assert_array_equal(a.masks, b.masks)
    assert [p.name for p in tmp_path.iterdir()] == ["cup.npz"]


@pytest.mark.parametrize(("field", "value"), [("model", "0" * 64), ("precision", "int8")])
def test_predict_refuses_another_model_or_precision(
    predictor: Predictor, embedding: ImageEmbedding, tmp_path: Path, field: str, value: Any
) -> None:
    dataclasses.replace(embedding, **{field: value}).save(tmp_path / "cup.npz")
    with pytest.raises(InputError, match=f"made with another {field}"):
        predictor.predict(ImageEmbedding.load(tmp_path / "cup.npz"), PROMPT)


@pytest.mark.parametrize(
    ("constant", "value", "message"), [("FRAME", 512, "another geometry"), ("_PADDED_FORMAT", 99, "newer edge_sam")]
)
def test_load_refuses_another_geometry_and_a_newer_format(
    embedding: ImageEmbedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constant: str, value: int, message: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"edge_sam.embedding.{constant}", value)
        embedding.save(tmp_path / "cup.npz")
    with pytest.raises(InputError, match=message):
        ImageEmbedding.load(tmp_path / "cup.npz")


def test_load_refuses_what_is_no_embedding(embedding: ImageEmbedding, tmp_path: Path) -> None:
    path = tmp_path / "cup.npz"
    with pytest.raises(InputError, match="cannot read"):
        ImageEmbedding.load(path)
    for content in (b"", b"hello", b"PK\x03\x04 not really"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not an image embedding"):
            ImageEmbedding.load(path)
    np.savez(path, features=np.zeros(3))
    with pytest.raises(InputError, match="not an image embedding"):
        ImageEmbedding.load(path)
    embedding.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100_000])
    with pytest.raises(InputError, match="not an image embedding"):
        ImageEmbedding.load(path)
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for position in random.choice([*range(200), *range(len(whole) - 800, len(whole))], 2):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):  # Some bytes do not matter; no other error may come.
            ImageEmbedding.load(path)
    np.save(tmp_path / "cup.npy", embedding.features)
    with pytest.raises(InputError, match="not an image embedding"):
        ImageEmbedding.load(tmp_path / "cup.npy")


@pytest.mark.parametrize("change", ["rows", "channels", "nan", "size"])
def test_load_refuses_what_cannot_be(embedding: ImageEmbedding, tmp_path: Path, change: str) -> None:
    features = {
        "rows": embedding.features[:60],
        "channels": embedding.features[..., :7],
        "nan": embedding.features * np.float32("nan"),
    }.get(change, embedding.features)
    geometry = Geometry((10**6, 10**6)) if change == "size" else embedding.geometry
    dataclasses.replace(embedding, features=features, geometry=geometry).save(tmp_path / "cup.npz")
    with pytest.raises(InputError, match="damaged"):
        ImageEmbedding.load(tmp_path / "cup.npz")


def test_numpy_integers_are_sizes_too(predictor: Predictor, coffee: np.ndarray, tmp_path: Path) -> None:
    predictor.encode(coffee, long_side=np.int64(512)).save(tmp_path / "cup.npz")  # type: ignore[arg-type]
    assert ImageEmbedding.load(tmp_path / "cup.npz").geometry.long_side == 512


def test_features_across_the_edge_are_not_cropped() -> None:
    geometry = Geometry((40, 64), square=True)
    plain = ImageEmbedding(np.zeros((64, 64, 256), np.float32), geometry, "model", "fp32")
    assert plain.cropped().geometry.token_size == (40, 64)
    features = {"high_res_0": np.zeros((256, 256, 32), np.float32)}
    assert ImageEmbedding(plain.features, geometry, "model", "fp32", high_res=features).cropped().geometry == geometry
