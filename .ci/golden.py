"""Write the golden files of a release into tests/golden/VERSION, once, before it is tagged: .ci/golden.py VERSION.

`tests/test_compatibility.py` reads them for ever. Older ones are never written again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
from public_api import public_api  # noqa: E402

import edge_sam  # noqa: E402
from edge_sam.bundles.bundle import BUNDLED  # noqa: E402
from edge_sam.imaging.geometry import Geometry  # noqa: E402
from edge_sam.imaging.images import read_image  # noqa: E402
from edge_sam.imaging.view import Fit  # noqa: E402

PHOTOGRAPH = ROOT / "examples" / "photographs" / "coffee.png"
COMMANDS = {
    "segment": "segment coffee.png --point 300,120 --box 76,18,478,390 --long-side 256 --output out --json",
    "everything": "everything coffee.png --points-per-side 2 --long-side 256 --output out --json",
    "camera": "camera frames --point 300,120 --long-side 256 --every-frame --json",
    "models": "models --json",
}
"""Commands whose JSON is kept. The schemas of `bench` and `eval` are kept whole."""


def main() -> None:
    """Write the files."""
    folder = ROOT / "tests" / "golden" / sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(BUNDLED / "mobile-sam" / "manifest.json", folder / "manifest-packaged.json")
    for name in ("bench", "eval"):
        shutil.copy(ROOT / "docs" / "schemas" / f"{name}.json", folder / f"schema-{name}.json")
    _dump(folder / "python.json", public_api())
    _write_embeddings(folder)
    with tempfile.TemporaryDirectory() as here:
        prepare(Path(here))
        for name, command in COMMANDS.items():
            program = [sys.executable, "-m", "edge_sam", *command.split()]
            environment = {**os.environ, "EDGE_SAM_HOME": str(Path(here, "cache"))}
            done = subprocess.run(program, cwd=here, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            output = [json.loads(line.replace(here, "FOLDER")) for line in done.stdout.splitlines()]
            _dump(folder / f"command-{name}.json", {"command": command, "output": output})


def prepare(folder: Path) -> None:
    """Put what the commands read into a folder."""
    (folder / "frames").mkdir(exist_ok=True)
    for name in ("coffee.png", "frames/0.png", "frames/1.png"):
        shutil.copy(PHOTOGRAPH, folder / name)


def _write_embeddings(folder: Path) -> None:
    """One of a family that pads, with what a click on it gives, and one that has further feature maps."""
    predictor = edge_sam.load(runtime="onnxruntime")
    embedding = predictor.encode(read_image(PHOTOGRAPH), long_side=128)
    rows, columns = embedding.geometry.token_size
    embedding.features[rows:] = 0  # Makes a small file. The click's answer is that of these features.
    embedding.features[:, columns:] = 0
    embedding.save(folder / "embedding-padded.npz")
    result = predictor.predict(embedding, edge_sam.Prompt(box=(76, 18, 478, 390)), multimask=False)
    _dump(folder / "embedding-padded.json", {"box": [76, 18, 478, 390], "rle": result.to_rle()[0]})
    fit = Fit(padded=False, multiple=32)
    geometry = Geometry((64, 64), long_side=64, fit=fit)
    rows, columns = geometry.grid_size
    maps = {"high_res_0": (4 * rows, 4 * columns, 32), "high_res_1": (2 * rows, 2 * columns, 64)}
    edge_sam.ImageEmbedding(
        np.zeros((rows, columns, 256), np.float32),
        geometry,
        "0" * 64,
        "fp32",
        high_res={name: np.zeros(shape, np.float32) for name, shape in maps.items()},
    ).save(folder / "embedding-maps.npz")
    for file in folder.glob("*.npz"):
        _deflate(file)


def _deflate(path: Path) -> None:
    """Compress a file that the release wrote, which stays the same array by array."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
