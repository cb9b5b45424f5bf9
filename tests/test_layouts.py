"""Files for other programs: names, types and order of their tensors, and masks that equal the bundle's."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import invoke
from conftest import iou

import edge_sam
from edge_sam import ImageEmbedding, InputError, Predictor, Prompt
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.bundles.contract import Contract, FeatureMap
from edge_sam.errors import ExportError
from edge_sam.export.layouts import writer
from edge_sam.export.layouts.check import encoder_maps
from edge_sam.export.layouts.layout import read_parts
from edge_sam.export.layouts.sam import OF_PIXELS_IN_SQUARE, SAM
from edge_sam.export.layouts.writer import find_layout, write_layout
from edge_sam.imaging.view import Fit
from edge_sam.importing.graph_file import read_component
from edge_sam.layouts import find_layout as recognised
from edge_sam.runtimes import Session, SessionOptions, backend

pytestmark = pytest.mark.thorough

BOX = (76, 18, 478, 390)
SCALE = np.array([1024 / 600, 683 / 400], np.float32)
"""From the photograph's pixels to the frame's."""
CORNERS = np.array(BOX, np.float32).reshape(2, 2) * SCALE


def tensors(file: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names and types of inputs and outputs, in order."""
    graph = onnx.load(file).graph
    return tuple(  # type: ignore[return-value]
        [(each.name, onnx.TensorProto.DataType.Name(each.type.tensor_type.elem_type)) for each in part]
        for part in (graph.input, graph.output)
    )


def opened(folder: Path, *files: str) -> list[Session]:
    return [backend("onnxruntime").open_session(folder / file, SessionOptions()) for file in files]


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("layouts") / "sam"
    done = invoke("convert", "mobile-sam", "--layout", "sam", "--output", str(folder), "--json")
    assert done.exit_code == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def decoder(sam: tuple[Path, dict[str, Any]]) -> Session:
    return opened(sam[0], "mobile-sam.decoder.onnx")[0]


@pytest.fixture(scope="module")
def prompted(embedding: ImageEmbedding) -> dict[str, np.ndarray]:
    """The decoder's inputs for a box around the cup, without a "not a point"."""
    return {
        "image_embeddings": np.ascontiguousarray(embedding.features.transpose(2, 0, 1)[None]),
        "point_coords": CORNERS[None],
        "point_labels": np.array([[2, 3]], np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.array([400, 600], np.float32),
    }


def test_sam_has_the_tensors_that_programs_unpack(sam: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = sam
    assert tensors(folder / "mobile-sam.encoder.onnx") == (
        [("input_image", "FLOAT")],
        [("image_embeddings", "FLOAT")],
    )
    inputs, outputs = tensors(folder / "mobile-sam.decoder.onnx")
    names = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size")
    assert inputs == [(name, "FLOAT") for name in names]
    assert [name for name, _ in outputs] == ["masks", "iou_predictions", "low_res_masks"]
    assert facts["agreement"]["lowest IoU"] >= 0.99
    assert facts["files"] == {file.name: file.stat().st_size for file in folder.iterdir()}
    notes = {each.key: each.value for each in onnx.load(folder / "mobile-sam.encoder.onnx").metadata_props}
    assert notes["source_sha256"] == open_bundle("mobile-sam").manifest.source.sha256


def test_families_that_encode_a_square_get_one(tmp_path: Path, predictor: Predictor, coffee: np.ndarray) -> None:
    bundle = open_bundle("mobile-sam")
    parts = read_parts(bundle, "w16")
    mean, std = (np.array(each, np.float32) for each in (bundle.manifest.pixel_mean, bundle.manifest.pixel_std))
    onnx.save(parts.compose(OF_PIXELS_IN_SQUARE, mean=mean, per_std=1 / std), tmp_path / "encoder.onnx")
    (encoder,) = opened(tmp_path, "encoder.onnx")
    (features,) = encoder_maps(encoder, coffee, "0-255", predictor)
    np.testing.assert_allclose(features, predictor.encode(coffee, square=True).channels_first(), atol=1e-4)


def test_its_configuration_names_its_files(sam: tuple[Path, dict[str, Any]]) -> None:
    lines = (sam[0] / "mobile-sam.yaml").read_text().splitlines()
    settings = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in lines)}
    assert settings["type"] == "segment_anything"
    assert all((sam[0] / settings[f"{part}_model_path"]).is_file() for part in ("encoder", "decoder"))


def test_its_pair_can_be_imported(sam: tuple[Path, dict[str, Any]]) -> None:
    encoder = read_component("encoder", sam[0] / "mobile-sam.encoder.onnx")
    assert recognised(encoder, read_component("decoder", sam[0] / "mobile-sam.decoder.onnx")).name == "sam"


def test_the_mask_is_the_one_that_the_package_shows(
    decoder: Session, prompted: dict[str, np.ndarray], embedding: ImageEmbedding
) -> None:
    answer = decoder.run(prompted)
    ours = edge_sam.load("mobile-sam", full_grid=True).predict(embedding, Prompt(box=BOX), multimask=False)
    assert answer["masks"].shape == (1, 1, 400, 600)
    assert iou(answer["masks"][0, 0] > 0, ours.masks[0]) >= 0.99
    np.testing.assert_allclose(answer["iou_predictions"][0], ours.scores, atol=1e-4)
    np.testing.assert_allclose(answer["low_res_masks"][0, 0, :150], ours.logits[0, :150], atol=2e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {
            "point_coords": np.array([[*CORNERS, (0, 0)]], np.float32),
            "point_labels": np.array([[2, 3, -1]], np.float32),
        },
        {"has_mask_input": -np.ones(1, np.float32)},
    ],
    ids=["not a point after a box", "osam's flag"],
)
def test_habits_of_programs_change_nothing(
    decoder: Session, prompted: dict[str, np.ndarray], changed: dict[str, np.ndarray]
) -> None:
    expected, answer = (decoder.run(inputs)["low_res_masks"] for inputs in (prompted, prompted | changed))
    np.testing.assert_allclose(answer, expected, atol=2e-3)


def test_several_prompts_of_one_call_equal_one_by_one(decoder: Session, prompted: dict[str, np.ndarray]) -> None:
    points = np.array([[[400, 200], [0, 0]], [[150, 250], [0, 0]]], np.float32)
    labels = np.array([[1, -1], [1, -1]], np.float32)
    masks = np.zeros((2, 1, 256, 256), np.float32)
    together = decoder.run(prompted | {"point_coords": points, "point_labels": labels, "mask_input": masks})
    for i in range(2):
        one = decoder.run(prompted | {"point_coords": points[i : i + 1], "point_labels": labels[i : i + 1]})
        np.testing.assert_allclose(together["low_res_masks"][i], one["low_res_masks"][0], atol=2e-3)


def test_hugging_face_reads_a_mobile_sam(tmp_path: Path, predictor: Predictor, coffee: np.ndarray) -> None:
    write_layout(open_bundle("mobile-sam"), tmp_path / "hf", "hf")
    folder = tmp_path / "hf"
    inputs, outputs = tensors(folder / "onnx" / "prompt_encoder_mask_decoder.onnx")
    assert dict(inputs)["input_labels"] == "INT64"
    assert [name for name, _ in outputs] == ["iou_scores", "pred_masks"]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "sam"
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["size"] == {"longest_edge": 1024}
    np.testing.assert_allclose(preprocessor["image_mean"], [0.485, 0.456, 0.406], atol=1e-6)

    encoder, decoder = opened(folder, "onnx/vision_encoder.onnx", "onnx/prompt_encoder_mask_decoder.onnx")
    embeddings, positions = encoder_maps(encoder, coffee, "normalised", predictor)
    clicks = np.array([[[(250, 120), (9, 9)], [(100, 100), (20, 30)]]], np.float32) * SCALE
    answer = decoder.run(
        {
            "image_embeddings": embeddings,
            "image_positional_embeddings": positions,
            "input_points": clicks,
            "input_labels": np.array([[[1, -10], [1, 0]]]),
        }
    )
    prompts = [Prompt(points=[(250, 120)]), Prompt(points=[(100, 100), (20, 30)], labels=[1, 0])]
    square = predictor.encode(coffee, square=True)
    for i, ours in enumerate(predictor.answers(square, prompts)):
        np.testing.assert_allclose(answer["pred_masks"][0, i], ours.logits[1:], atol=2e-3)


def test_sam2_binds_by_position(small_sam2: Bundle, tmp_path: Path) -> None:
    facts = write_layout(small_sam2, tmp_path, "sam2", values="0-1")
    assert facts["agreement"]["lowest IoU"] >= 0.99
    _, maps = tensors(tmp_path / "small.encoder.onnx")
    inputs, outputs = tensors(tmp_path / "small.decoder.onnx")
    assert [name for name, _ in maps] == ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    assert [name for name, _ in inputs] == [
        "image_embed",
        "high_res_feats_0",
        "high_res_feats_1",
        "point_coords",
        "point_labels",
        "mask_input",
        "has_mask_input",
    ]
    assert [name for name, _ in outputs] == ["masks", "iou_predictions"]
    assert not list(tmp_path.glob("*.yaml"))  # X-AnyLabeling normalises itself.


def test_hugging_face_takes_points_boxes_or_both(small_sam2: Bundle, tmp_path: Path) -> None:
    write_layout(small_sam2, tmp_path, "hf")
    predictor = edge_sam.load(small_sam2.path, runtime="onnxruntime")
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    encoder, decoder = opened(tmp_path, "onnx/vision_encoder.onnx", "onnx/prompt_encoder_mask_decoder.onnx")
    maps = encoder_maps(encoder, image, "normalised", predictor)
    points = np.array([[[(300, 400), (500, 100)]]], np.float32)
    labels, box = np.array([[[1, 0]]]), np.array([[(200, 100, 700, 800)]], np.float32)
    no_points: dict[str, np.ndarray] = {
        "input_points": np.zeros((1, 1, 0, 2), np.float32),
        "input_labels": np.zeros((1, 2, 0), np.int64),
    }
    two_boxes = np.concatenate([box, box / 2], axis=1)
    point = Prompt(points=points[0, 0], labels=labels[0, 0])
    cases: list[tuple[dict[str, np.ndarray], list[Prompt]]] = [
        (
            {"input_points": points, "input_labels": labels, "input_boxes": np.zeros((1, 0, 4), np.float32)},
            [point],
        ),
        (no_points | {"input_boxes": two_boxes}, [Prompt(box=each) for each in two_boxes[0]]),
        (
            {"input_points": points, "input_labels": labels, "input_boxes": box},
            [Prompt(points=point.points, labels=point.labels, box=box[0, 0])],
        ),
    ]
    embedding = predictor.encode(image)
    for inputs, prompts in cases:
        answer = decoder.run({f"image_embeddings.{i}": array for i, array in enumerate(maps)} | inputs)
        assert answer["pred_masks"].shape == (1, len(prompts), 3, 256, 256)
        for i, ours in enumerate(predictor.answers(embedding, prompts)):
            np.testing.assert_allclose(answer["pred_masks"][0, i], ours.logits[1:], atol=2e-3)


def test_a_pair_that_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LAYOUTS", (dataclasses.replace(SAM, decoder=lambda parts: _halved(parts)),))
    with pytest.raises(ExportError, match=r"the written pair disagrees with the bundle: IoU 0\.\d+ for Prompt"):
        write_layout(open_bundle("mobile-sam"), tmp_path / "sam", "sam")
    assert not (tmp_path / "sam").exists()


def _halved(parts: Any) -> onnx.ModelProto:
    """A decoder that takes coordinates for half of what they are."""
    model = SAM.decoder(parts)
    halve = onnx.helper.make_node("Mul", ["point_coords", "half"], ["halved"])
    model.graph.initializer.append(onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5]))
    for node in model.graph.node:
        node.input[:] = ["halved" if name == "point_coords" else name for name in node.input]
    model.graph.node.insert(0, halve)
    return model


def test_what_cannot_be_written_is_refused(sam: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    bundle = open_bundle("mobile-sam")
    with pytest.raises(InputError, match=r"mobile-sam \(mobile-sam\) has no layout 'sam2'; give sam or hf"):
        find_layout("sam2", bundle)
    with pytest.raises(InputError, match="the encoder of layout sam takes 0-255 or normalised, not 0-1"):
        write_layout(bundle, tmp_path, "sam", values="0-1")
    with pytest.raises(InputError, match=r"already exists; give --overwrite to replace it"):
        write_layout(bundle, sam[0], "sam")
    assert list(tmp_path.iterdir()) == []
    done = invoke("export", "mobile-sam", "--layout", "sam")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--layout needs --output FOLDER" in done.stderr
    done = invoke("convert", "mobile-sam", "--output", str(tmp_path / "new"), "--values", "0-1")
    assert (done.exit_code, "belong to --layout" in done.stderr) == (2, True)


def test_writing_a_layout_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import edge_sam.export.layouts.writer"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "contract",
    [
        Contract(high_res=(FeatureMap("high_res_0", 4, 32),), square=True, fixed=True),
        Contract(fit=Fit(multiple=32), weighted_tokens=True),
        Contract(fit=Fit(padded=False, antialiased=False), masks=False),
    ],
    ids=["HQ-SAM", "EdgeSAM", "EfficientSAM"],
)
def test_families_that_no_program_reads_have_no_layout(contract: Contract) -> None:
    assert not [layout.name for layout in writer.LAYOUTS if layout.takes(contract)]
