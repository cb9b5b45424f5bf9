"""`edge-sam bench`: real runs on a photograph, the published schema, comparisons."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from command_line import run_here
from conftest import PHOTOGRAPHS, ROOT
from test_cli import edge_sam, refused

from edge_sam.benchmark import operators
from edge_sam.benchmark.measure import measure, reference_masks
from edge_sam.benchmark.plots import pareto_front
from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.benchmark.report import STAGES, BenchReport, Skipped
from edge_sam.benchmark.settings import BenchSettings
from edge_sam.benchmark.summary import summarise
from edge_sam.benchmark.variants import BenchConfig, expand_variants
from edge_sam.bundles.blocks import block_of
from edge_sam.bundles.bundle import BUNDLED
from edge_sam.evaluation.report import EvalReport
from edge_sam.evaluation.variant import Variant
from edge_sam.imaging.images import read_image
from edge_sam.runtimes import SessionOptions, onnxruntime_cpu, openvino_device, profiler, why_unusable

ROCKET = PHOTOGRAPHS / "rocket.jpg"


@pytest.mark.parametrize(("name", "kind"), [("bench", BenchReport), ("eval", EvalReport)])
def test_the_published_schema_is_the_code_s(name: str, kind: type) -> None:
    published = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    assert published == msgspec.json.schema(kind), "run `make schemas`"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Two runtimes at two long sides, with everything that can be asked for."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = ("--image", ROCKET, "--runtime", "all", "--long-side", "512,256", "--rounds", "3", "--warm-up", "1")
    run = edge_sam("bench", *arguments, "--per-op", "--report", "out", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout), folder / "out"


@pytest.mark.thorough
def test_json_is_as_published(report: tuple[dict[str, Any], Path]) -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "bench.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report[0], schema)
    assert json.loads((report[1] / "bench.json").read_text()) == report[0]


@pytest.mark.thorough
def test_every_row_is_complete_and_adds_up(report: tuple[dict[str, Any], Path]) -> None:
    rows = report[0]["rows"]
    assert [(row["combination"]["runtime"], row["combination"]["long_side"]) for row in rows] == [
        ("onnxruntime", 512),
        ("onnxruntime", 256),
        ("openvino", 512),
        ("openvino", 256),
    ]
    assert {row["combination"]["provider"] for row in rows} == {"CPUExecutionProvider", "OpenVINO CPU"}
    assert sorted(row["rank"] for row in rows) == [1, 2, 3, 4]
    for row in rows:
        assert row["agrees"]
        assert row["agreement"]["mean"] > 0.98
        assert list(row["stages"]) == list(STAGES)
        assert all(stage["runs"] == 3 for stage in row["stages"].values())
        assert all(0 < s["min"] <= s["p50"] <= s["p90"] <= s["p95"] <= s["p99"] for s in row["stages"].values())
        assert sum(stage["min"] for stage in row["stages"].values()) <= row["total"]["p50"]
        assert row["speedup"]["low"] <= row["speedup"]["median"] <= row["speedup"]["high"]
        assert row["peak_rss_mb"] > 50
        assert min(row["start_ms"], row["load_ms"], row["compile_ms"], row["first_run_ms"]) > 0
        assert len(row["warm_up_ms"]) == 1
    assert rows[0]["speedup"] == {"median": 1, "low": 1, "high": 1}
    weights = [path for path in (BUNDLED / "mobile-sam").iterdir() if path.suffix in (".onnx", ".npz")]
    assert rows[0]["files_mb"] == pytest.approx(sum(path.stat().st_size for path in weights) / 1e6)


@pytest.mark.thorough
def test_operators_are_told_by_block(report: tuple[dict[str, Any], Path]) -> None:
    for row in report[0]["rows"]:
        assert [profile["component"] for profile in row["operators"]] == ["encoder", "decoder", "upscaling"]
        for profile in row["operators"]:
            for shares in (profile["by_operator"], profile["by_block"]):
                assert sum(share["ms"] for share in shares) == pytest.approx(profile["ms"])
                assert sum(share["share"] for share in shares) == pytest.approx(1)
            events = json.loads((report[1].parent / profile["trace"]).read_text())["traceEvents"]
            assert {"name", "ph", "ts", "dur", "pid", "tid"} <= events[0].keys()
        encoder, decoder, _ = row["operators"]
        assert any(share["name"].startswith("stages.1") for share in encoder["by_block"])
        assert any(share["name"].startswith("blocks.0/") for share in decoder["by_block"])


@pytest.mark.thorough
def test_the_page_needs_nothing_beside_it(report: tuple[dict[str, Any], Path]) -> None:
    page = (report[1] / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "openvino w16 256" in page
    assert (report[1] / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_accuracy_beside_speed(tmp_path: Path) -> None:
    import scenes

    scenes.folder(tmp_path / "data")
    arguments = ("--runtime", "onnxruntime", "--long-side", "256", "--rounds", "1", "--dataset", "data")
    run = edge_sam("bench", *arguments, "--report", "out", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "mIoU × 100 by box" in run.stdout
    (row,) = json.loads((tmp_path / "out" / "bench.json").read_text())["rows"]
    assert 0.3 < row["miou"]["box"]["mean"] <= 1
    assert (tmp_path / "out" / "accuracy.png").is_file()


def test_masks_that_disagree_are_marked_and_not_ranked() -> None:
    """Masks at a long side of 256 against those at 512."""
    small, large = Variant("mobile-sam", long_side=256), Variant("mobile-sam", long_side=512)
    measurements, skipped = measure(
        BenchConfig([small], [], [ROCKET], BenchSettings(rounds=1, warm_up=0)), lambda: None
    )
    assert skipped == []
    references = {256: reference_masks(large, [ROCKET])}
    (row,) = summarise(measurements, references, min_agreement=0.999)
    assert not row.agrees
    assert row.rank is None
    assert 0 < row.agreement.worst <= row.agreement.mean < 0.999
    (row,) = summarise(measurements, references, min_agreement=0.1)
    assert row.agrees
    assert row.rank == 1


@pytest.mark.thorough
def test_a_regression_is_told_by_the_exit_code(report: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    old = report[1] / "bench.json"
    same = edge_sam("bench", "--compare", old, old, "--json", cwd=tmp_path)
    assert same.returncode == 0, same.stderr
    assert {change["change"] for change in json.loads(same.stdout)["changes"]} == {0}
    slower = json.loads(old.read_text())
    slower["rows"][1]["stages"]["decode"]["p50"] *= 1.2
    slower["rows"][1]["load_ms"] *= 3  # Measured once: shown, not judged.
    slower["rows"][1]["compile_ms"] *= 3
    slower["rows"][0]["agrees"] = False
    slower["rows"][3]["combination"]["precision"] = "int8"
    (tmp_path / "new.json").write_text(json.dumps(slower))
    run = edge_sam("bench", "--compare", old, "new.json", "--json", cwd=tmp_path)
    assert run.returncode == 1
    regressed = {(c["combination"], c["figure"]) for c in json.loads(run.stdout)["changes"] if c["regressed"]}
    assert ("onnxruntime w16 256", "decode p50 ms") in regressed
    assert not {("onnxruntime w16 256", "load ms"), ("onnxruntime w16 256", "compile ms")} & regressed
    assert ("onnxruntime w16 512", "masks disagree") in regressed
    assert {name for name, _ in regressed} == {"onnxruntime w16 256", "onnxruntime w16 512", "openvino w16 256"}
    slower["rows"] = slower["rows"][1:2]
    (tmp_path / "old.json").write_text(json.dumps({**slower, "rows": json.loads(old.read_text())["rows"][1:2]}))
    (tmp_path / "new.json").write_text(json.dumps(slower))
    run = edge_sam("bench", "--compare", "old.json", "new.json", "--threshold", "25", cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "+20.0 %" in run.stdout


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"schema": 1, "rows": []}')
    message = refused(run_here("bench", "--compare", "old.json", "old.json", cwd=tmp_path))
    assert "old.json was written by another version of edge_sam (its report has version 1, this one reads 2)" in message


@pytest.mark.thorough
def test_the_figures_of_the_models_and_their_chart(report: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    made = json.loads((report[1] / "bench.json").read_text())
    (tmp_path / "without.json").write_text(json.dumps({**made, "rows": [{**made["rows"][0], "miou": None}]}))
    for row in made["rows"]:
        estimate = {"low": 0.78, "high": 0.894, "objects": 60}
        row["miou"] = {"box": {"mean": 0.8391, **estimate}, "point": {"mean": 0.7, **estimate}}
        row["combination"]["long_side"] *= 2
    (tmp_path / "bench.json").write_text(json.dumps(made))
    (tmp_path / "page.md").write_text("Before\n<!-- begin of benchmarks/model_figures.py -->\n")
    script, data = ROOT / "benchmarks" / "model_figures.py", tmp_path / "figures.json"

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)

    command = (script, tmp_path / "bench.json", "--dataset", "60 stills", "--output", data, "--docs")
    assert "the page has no lines" in run(*command, tmp_path / "page.md").stderr
    assert not data.exists()
    with (tmp_path / "page.md").open("a") as page:
        page.write("old\n<!-- end of benchmarks/model_figures.py -->\nAfter\n")
    assert run(*command, tmp_path / "page.md").stderr == ""
    text = (tmp_path / "page.md").read_text()
    assert "old" not in text
    assert text.startswith("Before")
    assert text.endswith("After\n")
    fastest = min(
        (row for row in made["rows"]), key=lambda row: (-row["combination"]["long_side"], row["total"]["p50"])
    )
    encode = fastest["stages"]["encode"]["p50"]
    assert f"| w16 | {fastest['files_mb']:.1f} MB | 70.0 | 83.9 | {encode:.0f} ms |" in text
    assert "60 objects of 60 stills" in text
    assert "| `sam2-small` | 46.0 M | Apache-2.0 | 172.7 |" in text
    chart, picture = ROOT / "benchmarks" / "readme_chart.py", tmp_path / "speed.png"
    drawn = run(chart, data, "--output", picture)
    assert f"{made['machine']['cores']} cores of {made['machine']['processor']}" in drawn.stdout
    assert f"1024 px {fastest['total']['p50']:.0f} ms 83.9" in drawn.stdout
    assert read_image(picture).std() > 10
    assert "measure again with --dataset" in run(script, tmp_path / "without.json", "--dataset", "x").stderr


def test_a_combination_that_fails_is_a_worker_s_last_word() -> None:
    with pytest.raises(WorkerError, match="has no precision 'int3'"):
        WorkerProcess(Variant("mobile-sam", precision="int3"), [ROCKET])


def test_one_that_dies_at_the_end_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[int | None, WorkerProcess] = {}

    class Watched(WorkerProcess):
        def __init__(self, variant: Variant, images: Sequence[Path]) -> None:
            super().__init__(variant, images)
            started[variant.threads] = self

    def progress() -> None:
        left[0] -= 1
        if not left[0]:
            started[1]._process.kill()
            started[1]._process.wait()

    monkeypatch.setattr("edge_sam.benchmark.measure.WorkerProcess", Watched)
    variants = [
        Variant("mobile-sam", runtime="onnxruntime", precision="w16", threads=threads, long_side=256)
        for threads in (1, 2)
    ]
    plan = BenchConfig(variants, [], [ROCKET], BenchSettings(rounds=1, warm_up=0))
    left = [plan.steps]
    measurements, skipped = measure(plan, progress)
    assert [measurement.variant for measurement in measurements] == variants[1:]
    assert measurements[0].peak_rss_mb > 0
    assert skipped == [Skipped("onnxruntime w16 256 1t", "the process was killed by SIGKILL")]


def test_combinations_come_in_the_order_given() -> None:
    variants, skipped = expand_variants("mobile-sam", ["openvino", "onnxruntime"], ["all"], [1024, 512], [1, None])
    assert [(v.runtime, v.long_side, v.threads) for v in variants[:3]] == [
        ("openvino", 1024, 1),
        ("openvino", 1024, None),
        ("openvino", 512, 1),
    ]
    assert len(variants) == 8
    assert skipped == []


@pytest.mark.parametrize(
    ("node", "block"),
    [
        ("/stages.0/stages.0.1/attention/MatMul_2", "stages.0.1/attention"),
        ("/blocks.0/self_attention/Softmax", "blocks.0/self_attention"),
        ("/convs.0/Add_1", "convs.0"),
        ("/blocks.1/lin1/MatMul/MatMulAddFusion", "blocks.1/lin1"),
        ("/trunk/stages.2/stages.2.1/attention/MatMul_2", "stages.2.1/attention"),
        ("/MatMul_3/MatmulTransposeFusion/", "(outside blocks)"),
        ("/Transpose", "(outside blocks)"),
        ("Gelu_token_260", None),
    ],
)
def test_blocks_are_named_after_the_modules(node: str, block: str | None) -> None:
    assert block_of(node) == block


def test_the_pareto_front_leaves_out_what_is_beaten() -> None:
    assert pareto_front([(30, 0.8), (10, 0.7), (20, 0.6), (40, 0.8), (30, 0.75)]) == [(10, 0.7), (30, 0.8)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sam-9"], "no model called 'sam-9'"),
        (["--runtime", "abacus"], "unknown runtime 'abacus'; known: all, onnxruntime, openvino"),
        (["--precision", "int3"], "unknown precision 'int3'; known: all, w16"),
        (["--precision", "w16:x"], "unknown precision 'w16:x'; known: all, w16"),
        (["--long-side", "1000"], "multiple of 16"),
        (["--long-side", "big"], "--long-side 'big' is not a list of whole numbers"),
        (["--threads", "-1"], "--threads '-1' is not a list"),
        (["--image", "absent.jpg"], "cannot read image absent.jpg"),
        (["--dataset", "absent"], "dataset absent does not exist"),
        (["--compare", "a.json", "b.json"], "cannot read a.json"),
        (["--compare", ROCKET, ROCKET], "is not a report of edge-sam bench"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[object], message: str) -> None:
    assert message in refused(run_here("bench", *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino:CPU"])
def test_what_is_profiled_is_what_was_timed(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """Threads from the environment, and everything else that a session is opened with."""
    if why_unusable(runtime):
        pytest.skip("not usable here")
    monkeypatch.setenv("EDGE_SAM_THREADS", "1")
    opened: list[dict[str, object]] = []

    def remember(model: Path, options: SessionOptions, *rest: Any) -> Any:
        session = real(model, options, *rest)
        if runtime == "onnxruntime":
            given = session.get_session_options()
            spinning = given.get_session_config_entry("session.force_spinning_stop")
            opened.append({"threads": given.intra_op_num_threads, "spinning": spinning})
        else:
            names = ("INFERENCE_NUM_THREADS", "PERFORMANCE_HINT", "INFERENCE_PRECISION_HINT", "NUM_STREAMS")
            opened.append({name: str(session._general.model.get_property(name)) for name in names})
        return session

    module, name = (
        (onnxruntime_cpu, "open_inference_session")
        if runtime == "onnxruntime"
        else (openvino_device, "OpenVinoSession")
    )
    real = getattr(module, name)
    monkeypatch.setattr(module, name, remember)
    tables = operators.profile(Variant("mobile-sam", runtime=runtime, long_side=256), ROCKET, lambda _name, _trace: "")
    assert [table.component for table in tables] == ["encoder", "decoder", "upscaling"]
    assert all(table.ms > 0 and table.by_block for table in tables)
    assert len(opened) == 4 + 3
    assert all(settings == opened[0] for settings in opened)
    assert str(next(iter(opened[0].values()))) == "1"


def test_a_runtime_without_a_profiler_says_so() -> None:
    assert profiler("cuda") is None
    assert profiler("tensorrt") is None
