"""Bundles that `edge-sam export NAME` makes in the cache, and how names find them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_cli import edge_sam as run_command

import edge_sam
from edge_sam.benchmark.variants import expand_variants
from edge_sam.bundles.bundle import BUNDLED, Bundle, cached_bundle, open_bundle
from edge_sam.cli.export import export
from edge_sam.cli.models import models
from edge_sam.errors import InputError
from edge_sam.export import cache_writer
from edge_sam.export.cache_writer import export_into_cache

pytestmark = pytest.mark.thorough

PACKAGED = BUNDLED / "mobile-sam"


@pytest.fixture
def cached(own_cache: Path, exported: Bundle) -> Path:
    """A cache with fp32 and w16 of the model that comes with the package."""
    shutil.copytree(exported.path, own_cache / "bundles" / "mobile-sam")
    return own_cache / "bundles" / "mobile-sam"


def test_export_makes_the_model_loadable_by_name(
    exported: Bundle,
    checkpoint: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With an export that was made before; test_docs_commands.py runs a real one."""

    def copy(source: Path, output: Path, **_: object) -> Bundle:
        assert source.read_bytes() == checkpoint.read_bytes()
        shutil.copytree(exported.path, output)
        return open_bundle(output)

    monkeypatch.setattr(cache_writer, "export_bundle", copy)
    (own_cache / "checkpoints" / "mobile-sam").mkdir(parents=True)
    (own_cache / "checkpoints" / "mobile-sam" / "mobile_sam.pt").symlink_to(checkpoint)
    with pytest.raises(InputError, match=r"make it with: edge-sam export mobile-sam --precision fp32$"):
        edge_sam.load("mobile-sam", precision="fp32")
    export("mobile-sam", json=True)
    printed = capsys.readouterr()
    assert "licence Apache-2.0" in printed.err.splitlines()[0]
    assert Path(json.loads(printed.out)["bundle"]) == cached_bundle("mobile-sam")
    assert edge_sam.load("mobile-sam", precision="fp32").precision == "fp32"
    assert {path.name for path in (own_cache / "bundles").iterdir()} == {"mobile-sam", "mobile-sam.lock"}
    models(json=True)
    (listed, *_) = json.loads(capsys.readouterr().out)["models"]
    assert listed["bundles"] == {"package": ["w16"], "cache": ["w16", "fp32"]}


def test_a_cached_bundle_adds_precisions_and_changes_no_default(cached: Path) -> None:
    for precision in ("auto", "smallest", "w16"):
        assert open_bundle("mobile-sam", precision).path == PACKAGED
    assert open_bundle("mobile-sam", "fp32").path == cached
    assert edge_sam.load("mobile-sam").precision == "w16"
    with pytest.raises(InputError, match=r"has no precision 'int3'; it has w16$"):
        edge_sam.load("mobile-sam", precision="int3")


def test_bench_measures_both(cached: Path) -> None:
    variants, _ = expand_variants("mobile-sam", ["onnxruntime"], ["w16", "fp32"], [1024], [None])
    assert [variant.precision for variant in variants] == ["w16", "fp32"]
    assert cached.is_dir()


def test_a_model_that_is_only_in_the_cache(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"sam2-tiny is not ready here; make it with: edge-sam export sam2-tiny$"):
        edge_sam.load("sam2-tiny")
    shutil.copytree(PACKAGED, own_cache / "bundles" / "sam2-tiny")
    shutil.copytree(PACKAGED, tmp_path / "here" / "sam2-tiny")
    monkeypatch.chdir(tmp_path / "here")
    assert open_bundle("sam2-tiny").path == cached_bundle("sam2-tiny")
    assert open_bundle("./sam2-tiny").path == Path("sam2-tiny")
    assert edge_sam.load("sam2-tiny").precision == "w16"
    with pytest.raises(InputError, match="edge-sam export sam2-tiny --precision fp32"):
        edge_sam.load("sam2-tiny", precision="fp32")


@pytest.mark.parametrize("name", ["sam2-tiny/", ".", "..", "bundles"])
def test_other_names_do_not_lead_into_the_cache(own_cache: Path, name: str) -> None:
    shutil.copytree(PACKAGED, own_cache / "bundles" / "sam2-tiny")
    with pytest.raises(InputError):
        open_bundle(name)


def never() -> Path:
    raise AssertionError


def _nothing(_: str) -> None:
    pass


def test_what_is_there_is_not_exported_again(cached: Path) -> None:
    before = (cached / "manifest.json").stat().st_mtime_ns
    bundle = export_into_cache(
        "mobile-sam", never, precisions=["w16"], formats=["onnx"], overwrite=False, progress=_nothing
    )
    assert bundle.path == cached
    assert (cached / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("prepare", "asked", "overwrite", "made"),
    [
        (lambda _: None, ["fp32"], True, ["fp32", "w16"]),
        (lambda folder: _keep_only(folder, "w16"), ["fp32"], False, ["w16", "fp32"]),
        (lambda folder: (folder / "manifest.json").write_text("{"), ["fp32"], False, ["fp32"]),
        (lambda folder: shutil.rmtree(folder), ["w16"], False, ["w16"]),
    ],
)
def test_precisions_that_are_there_stay(
    cached: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path], object],
    asked: Sequence[str],
    overwrite: bool,
    made: Sequence[str],
) -> None:
    prepare(cached)
    exports: list[dict[str, Any]] = []
    monkeypatch.setattr(cache_writer, "export_bundle", lambda *_, **options: exports.append(options))
    export_into_cache("mobile-sam", Path, precisions=asked, formats=["onnx"], overwrite=overwrite, progress=_nothing)
    (options,) = exports
    assert options["precisions"] == made
    assert options["overwrite"] is True


def _keep_only(folder: Path, precision: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["components"] = [each for each in manifest["components"] if each["precision"] == precision]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_file_needs_an_output(tmp_path: Path) -> None:
    run = run_command("export", "weights.pt", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr == (
        "error: no model called 'weights.pt' in the zoo; give --output BUNDLE to convert a checkpoint of your own\n"
    )
