"""Protocols on the real model, and `edge-sam eval` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import scenes
from command_line import run_here
from conftest import read_pixels
from scenes import CUP, SIZE, SPOON
from test_cli import edge_sam, refused

from edge_sam import Predictor, Prompt
from edge_sam.bundles.bundle import Bundle
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.evaluation.metrics import boundary_f
from edge_sam.evaluation.protocols import find_protocol
from edge_sam.evaluation.report import EvalReport
from edge_sam.evaluation.samples import Target
from edge_sam.evaluation.stills import evaluate_sample
from edge_sam.evaluation.variant import BundleSegmenter, Variant
from edge_sam.evaluation.video import box_on_every_frame, measure_clip
from edge_sam.export.reference import TorchReference
from edge_sam.imaging.masks import iou

pytestmark = pytest.mark.thorough

EVERYWHERE = np.ones(SIZE, bool)


def test_scores_are_those_of_the_masks(predictor: Predictor, coffee: np.ndarray) -> None:
    ask = BundleSegmenter(predictor).encode(coffee)
    target = Target("", CUP, EVERYWHERE)
    trial = find_protocol("point").run(ask, target)
    result = predictor.predict(predictor.encode(coffee), Prompt(points=[(290, 115)]))
    assert trial.scores["iou"] == pytest.approx(iou(result.masks[0], CUP), abs=1e-3)
    assert trial.scores["oracle"] == pytest.approx(max(iou(mask, CUP) for mask in result.masks), abs=1e-3)
    assert trial.scores["oracle"] >= trial.scores["iou"]
    assert len(trial.masks) == 3
    assert len(find_protocol("box").run(ask, target).masks) == 1


def test_clicks_correct_the_mask(predictor: Predictor, coffee: np.ndarray) -> None:
    """The truth is the least likely of a click's three masks, which no preference takes."""
    ask = BundleSegmenter(predictor).encode(coffee)
    truth = ask(Prompt(points=[(250, 120)]), "three").masks[2]
    trial = find_protocol("6points").run(ask, Target("", truth, EVERYWHERE))
    scores = [trial.scores[f"iou@{k}"] for k in range(1, 7)]
    assert scores[0] < 0.85
    assert scores[-1] > 0.9
    needed = next(k for k, value in enumerate(scores, start=1) if value >= 0.85)
    assert trial.scores["noc@85"] == needed > 1
    points, labels = trial.prompt.points, trial.prompt.labels
    assert points is not None
    assert labels is not None
    assert len({tuple(point) for point in points.tolist()}) == len(points)
    for (x, y), label in zip(points.astype(int), labels, strict=True):
        assert truth[y, x] == bool(label)


def test_an_object_of_one_pixel_can_be_asked_about(predictor: Predictor, coffee: np.ndarray) -> None:
    ask = BundleSegmenter(predictor).encode(coffee)
    truth = np.zeros(SIZE, bool)
    truth[399, 599] = True
    for name in ("point", "box-centre", "box", "2points"):
        assert find_protocol(name).run(ask, Target("", truth, EVERYWHERE)).scores


def test_ignored_pixels_count_nowhere(predictor: Predictor, tmp_path: Path) -> None:
    """Everything but the middle of the cup is ignored, so that any mask of the cup is right."""
    scenes.folder(tmp_path)
    labels = np.full(SIZE, 128)
    labels[scenes.disc(SIZE, 290, 100, 40)] = 255
    scenes.write_grey(tmp_path / "masks" / "cup0.png", labels)
    (row,) = evaluate_sample(
        [BundleSegmenter(predictor)], [find_protocol("point")], open_dataset(tmp_path).samples[0], lambda _: None
    )
    assert row.scores[0]["oracle"] == 1


def test_video_leaves_out_both_ends_and_respects_absence(predictor: Predictor, tmp_path: Path) -> None:
    (clip,) = open_dataset(scenes.davis(tmp_path)).clips
    segmenter = BundleSegmenter(predictor)
    seen = []
    cup, spoon = measure_clip(box_on_every_frame(segmenter), clip, lambda: seen.append(1))
    assert len(seen) == 4
    ask = segmenter.encode(clip.frames[1].load()[0])
    mask = find_protocol("box").run(ask, Target("", CUP, EVERYWHERE)).masks[0]
    assert cup["j"] == pytest.approx(iou(mask, CUP))
    assert cup["f"] == pytest.approx(boundary_f(mask, CUP))
    assert cup["j&f"] == pytest.approx((cup["j"] + cup["f"]) / 2)
    # Of the two frames that count, the spoon is in one; where it is absent an empty mask is right.
    mask = find_protocol("box").run(ask, Target("", SPOON, EVERYWHERE)).masks[0]
    assert spoon["j"] == pytest.approx((iou(mask, SPOON) + 1) / 2)


def test_variants_are_told_in_one_line() -> None:
    variant = Variant("mobile-sam", precision="w16", threads=2)
    assert variant.changed(",square,long-side=768") == Variant(
        "mobile-sam", precision="w16", threads=2, square=True, long_side=768
    )
    assert variant.changed("other,precision=fp32,square=no").bundle == "other"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.folder(tmp_path_factory.mktemp("data"), 2)


def test_reports_json_and_draws_the_worst(data: Path, tmp_path: Path) -> None:
    run = edge_sam("eval", "mobile-sam", "--dataset", data, "--prompts", "box,2points", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    report = msgspec.json.decode(run.stdout, type=EvalReport)
    box, clicks = report.protocols
    assert list(box.scores) == ["iou", "boundary_iou"]
    assert list(clicks.scores) == ["iou@1", "iou@2", "noc@85", "noc@90"]
    assert box.scores["iou"].objects == box.by_size["large"].objects == report.dataset.photographs == 2
    assert 0.5 < box.scores["iou"].mean <= 1
    assert report.contact_sheets is not None
    assert read_pixels(tmp_path / report.contact_sheets["box"]).shape[2] == 3
    assert {path.name for path in (tmp_path / "edge-sam-output").iterdir()} == {"worst-box.png", "worst-2points.png"}


def test_prints_a_comparison_for_people(data: Path, tmp_path: Path) -> None:
    arguments = ("--dataset", data, "--prompts", "point", "--against", ",long-side=512", "--worst", "0")
    run = edge_sam("eval", "mobile-sam", *arguments, "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    report = msgspec.json.decode(run.stdout, type=EvalReport)
    assert report.against is not None
    assert (report.segmenter.long_side, report.against.long_side) == (1024, 512)
    (point,) = report.protocols
    assert point.against is not None
    assert point.difference is not None
    assert point.agreement is not None
    assert point.difference["iou"].mean == pytest.approx(point.scores["iou"].mean - point.against["iou"].mean)
    run = edge_sam("eval", "mobile-sam", *arguments, cwd=tmp_path)
    assert "difference" in run.stdout
    assert "masks agree" in run.stdout
    assert "long side 512" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_video_and_coco_from_the_command_line(tmp_path: Path) -> None:
    scenes.davis(tmp_path / "davis", frames=3)
    arguments = ("eval", "mobile-sam", "--dataset", "davis", "--worst", "0", "--prompts")
    run = edge_sam(*arguments, "video-box,video-track", "--json", cwd=tmp_path)
    videos = json.loads(run.stdout)["protocols"]
    assert [video["name"] for video in videos] == ["video-box", "video-track"]
    for video in videos:
        assert list(video["scores"]) == ["j&f", "j", "f"]
        assert video["scores"]["j"]["mean"] > 0.5
    assert "video-track encodes frames as suits the model" in refused(
        edge_sam(*arguments, "video-track", "--square", cwd=tmp_path)
    )
    scenes.coco_instances(tmp_path / "coco")
    run = edge_sam(
        "eval", "mobile-sam", "--dataset", "coco", "--prompts", "box", "--json", "--worst", "0", cwd=tmp_path
    )
    (box,) = json.loads(run.stdout)["protocols"]
    assert {size: estimate["objects"] for size, estimate in box["by_size"].items()} == {"medium": 1, "large": 1}


def test_the_same_weights_in_torch_score_the_same(checkpoint: Path, exported: Bundle, data: Path) -> None:
    ours = Variant(str(exported.path), precision="fp32", square=True).open()
    torch = TorchReference(checkpoint)
    assert torch.facts.weights == ours.facts.weights
    protocols = [find_protocol(name) for name in ("point", "box", "3points", "click")]
    rows = evaluate_sample([ours, torch], protocols, open_dataset(data).samples[0], lambda _: None)
    for row in rows:
        for name, score in row.scores[0].items():
            assert score == pytest.approx(row.scores[1][name], abs=0.01), (row.protocol, name)
    point, box, clicks, click = rows
    assert len(point.agreement) == 3
    assert min(*point.agreement, *box.agreement, *click.agreement) > 0.95
    assert clicks.agreement == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "absent"], "dataset absent does not exist"),
        (["--dataset", "."], "is not a dataset of a known layout: expected images/"),
        (
            ["--prompts", "scribble"],
            "unknown prompts 'scribble'; known: point, click, click-random, box-centre, box",
        ),
        (["--prompts", "99points"], "unknown prompts '99points'"),
        (["--prompts", ","], "no prompts given"),
        (["--prompts", "video-box"], "video-box needs videos"),
        (["--prompts", "point,video-track"], "video-track needs videos"),
        (["--against", "mobile-sam"], "same bundle with the same settings"),
        (["--against", ",depth=4"], "cannot set 'depth=4'"),
        (["--against", "sam-9"], "no model called 'sam-9'"),
        (["--layout", "davis"], "is not a dataset of layout davis"),
        (["--long-side", "1000"], "multiple of 16"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    data: Path, tmp_path: Path, arguments: list[object], message: str
) -> None:
    given = ["--dataset", data, *arguments] if "--dataset" not in arguments else arguments
    assert message in refused(run_here("eval", "mobile-sam", *given, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
