"""Tokens of padding that stand for others: which, that they count right, what they cost, and how to do without them."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import PHOTOGRAPHS, iou, read_rgb
from onnx import helper, numpy_helper

import edge_sam
from edge_sam import ImageEmbedding, Predictor, Prompt
from edge_sam.bundles.bundle import BUNDLED, file_sha256
from edge_sam.bundles.contract import GRID_SAM
from edge_sam.export.layouts.layout import read_parts
from edge_sam.inference.guard import run_probe
from edge_sam.inference.token_list import BLOCK, TokenList, token_list
from edge_sam.runtimes import REFERENCE, SessionOptions, Tensors, backend

BOX = Prompt(box=(76, 18, 478, 390))
PROMPTS = [Prompt(points=[(250, 120)]), BOX, Prompt(points=[(300, 200), (20, 20)], labels=[1, 0])]


@pytest.fixture(scope="module")
def full() -> Predictor:
    return edge_sam.load(runtime="onnxruntime", full_grid=True)


@pytest.mark.parametrize("size", [(36, 64), (64, 43), (18, 32), (1, 1), (2, 64), (64, 64)])
def test_the_list_is_the_photograph_and_one_token_of_each_block(size: tuple[int, int]) -> None:
    rows, columns = size
    listed = token_list(*size)
    y, x = np.divmod(listed.index, 64)
    photograph = rows * columns
    assert list(zip(y[:photograph], x[:photograph], strict=True)) == list(np.ndindex(rows, columns))
    assert (listed.count[:photograph] == 1).all()
    assert ((y[photograph:] >= rows) | (x[photograph:] >= columns)).all()
    assert len(set(listed.index)) == len(listed.index)
    assert listed.count.sum() == 64 * 64
    # Every token has one that stands for it in its block, or near it where a block is cut at the end of the grid.
    far = np.abs(np.mgrid[:64, :64].reshape(2, -1, 1) - np.stack([y, x])[:, None]).max(axis=0).min(axis=1)
    assert far.max() <= BLOCK // 2


def test_the_full_grid_is_every_token_once() -> None:
    listed = token_list(36, 64, full_grid=True)
    assert sorted(listed.index) == list(range(64 * 64))
    assert (listed.count == 1).all()


def decode(predictor: Predictor, embedding: ImageEmbedding, listed: TokenList) -> Tensors:
    size = np.array(embedding.geometry.token_size)
    click = {"point_coords": np.array([[[400, 200], [0, 0]]], np.float32), "point_labels": np.array([[1, -1]])}
    tokens = {"image_tokens": listed.take(embedding.features[None]), **listed.inputs}
    return predictor.model.active.decoder.run({**tokens, **click, "token_size": size})


@pytest.mark.thorough
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_token_counts_as_often_as_it_says(runtime: str, embedding: ImageEmbedding) -> None:
    """One token that counts three times is three tokens that are alike."""
    if runtime == "openvino":
        pytest.importorskip("openvino")
    predictor = edge_sam.load(runtime=runtime, strict=True)
    listed = token_list(*embedding.geometry.token_size)
    repeated = np.repeat(listed.index, listed.count.astype(int))
    alike = TokenList(repeated, np.ones(len(repeated), np.float32))
    once = replace(listed, count=np.ones_like(listed.count))
    weighted, all_of_them, unweighted = (decode(predictor, embedding, each) for each in (listed, alike, once))
    for name in ("low_res_logits", "predicted_iou"):
        np.testing.assert_allclose(weighted[name], all_of_them[name], atol=2e-3)
    assert np.abs(unweighted["low_res_logits"] - all_of_them["low_res_logits"]).max() > 1


@pytest.mark.thorough
@pytest.mark.parametrize("long_side", [1024, 512])
def test_masks_agree_with_those_of_the_full_grid(predictor: Predictor, full: Predictor, long_side: int) -> None:
    """On all 80 photographs: 0.996 and more (docs/lab/padding-tokens.md)."""
    agreement = []
    for name in ("coffee.png", "rocket.jpg"):
        embedding = predictor.encode(read_rgb(PHOTOGRAPHS / name), long_side=long_side)
        fewer, every = (
            each.predict(embedding, PROMPTS, multimask=False, prefer="single") for each in (predictor, full)
        )
        for ours, exact in zip(fewer, every, strict=True):
            assert not np.array_equal(ours.logits, exact.logits)
            agreement.append(iou(ours.masks[0], exact.masks[0]))
    assert np.mean(agreement) > 0.99


def test_a_padded_square_can_be_asked_about_the_photograph_alone(predictor: Predictor, coffee: np.ndarray) -> None:
    square = predictor.encode(coffee, square=True)
    cropped = square.cropped()
    assert (square.geometry.token_size, cropped.geometry.token_size) == ((64, 64), (43, 64))
    assert cropped.cropped() is cropped
    for ours, exact in zip(predictor.predict(cropped, PROMPTS), predictor.predict(square, PROMPTS), strict=True):
        assert np.mean([max(iou(mask, other) for other in exact.masks) for mask in ours.masks]) > 0.98


def test_a_mask_prompt_and_several_prompts_take_the_same_tokens(
    predictor: Predictor, full: Predictor, embedding: ImageEmbedding
) -> None:
    logits = full.predict(embedding, BOX, multimask=False).logits[0]
    refine = [Prompt(box=BOX.box, mask=logits), Prompt(points=[(250, 120)], mask=logits)]
    together = predictor.predict(embedding, refine, multimask=False)
    for prompt, answer in zip(refine, together, strict=True):
        alone = predictor.predict(embedding, prompt, multimask=False)
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-3)
        assert iou(answer.masks[0], full.predict(embedding, prompt, multimask=False).masks[0]) > 0.98


def test_the_choice_of_the_full_grid_is_kept(full: Predictor, embedding: ImageEmbedding) -> None:
    again = pickle.loads(pickle.dumps(full))
    assert again.model.active.choice.full_grid
    np.testing.assert_array_equal(again.predict(embedding, BOX).logits, full.predict(embedding, BOX).logits)


def test_a_bundle_whose_decoder_takes_the_grid_still_runs(
    full: Predictor, embedding: ImageEmbedding, tmp_path: Path
) -> None:
    """Version 1 of the manifest, with a decoder as it was then, made of today's."""
    folder = tmp_path / "old"
    shutil.copytree(BUNDLED / "mobile-sam", folder)
    graph = read_parts(full.bundle, "w16").graphs["decoder"]
    take_any_part(graph)
    onnx.save(graph, folder / "decoder.w16.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["schema"] = 1
    del manifest["contract"]
    manifest["components"] = [each for each in manifest["components"] if each["role"] != "upscaling"]
    components = {each["role"]: each for each in manifest["components"]}
    decoder = components["decoder"]
    decoder["inputs"] = [each for each in decoder["inputs"] if each["name"] not in ("token_index", "token_count")]
    decoder["inputs"][0]["shape"][1:] = [64, 64, 256]
    parts = copy.copy(full.model.active)
    parts.contract = GRID_SAM
    parts.decoder = backend(REFERENCE).open_session(folder / decoder["file"], SessionOptions())
    probe: dict[str, Any] = run_probe(parts)
    np.savez(folder / components["probe"]["file"], **probe)
    for changed in (decoder, components["probe"]):
        file = folder / changed["file"]
        changed.update(sha256=file_sha256(file), bytes=file.stat().st_size)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = edge_sam.load(folder, runtime="onnxruntime", strict=True)
    assert old.model.active.listed_tokens((36, 64)) is None
    for ours, exact in zip(old.predict(embedding, PROMPTS), full.predict(embedding, PROMPTS), strict=True):
        np.testing.assert_allclose(ours.logits[:, :170], exact.logits[:, :170], atol=1e-3)


def take_any_part(model: onnx.ModelProto) -> None:
    """Cut the logits of a decoder that takes the whole grid of the frame down to `token_size`."""
    constants = {
        "whole": np.array([64, 64]),
        "zero": np.array([0, 0]),
        "axes": np.array([2, 3]),
        "cells": np.array([4, 4]),
    }
    renamed = {"token_size": "whole", "low_res_logits": "all_logits"}
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    behind = [
        helper.make_node("Mul", ["token_size", "cells"], ["ends"]),
        helper.make_node("Slice", ["all_logits", "zero", "ends", "axes"], ["low_res_logits"]),
    ]
    model.graph.node.extend(behind)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
