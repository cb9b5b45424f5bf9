"""The guard of examples/browser against silent failure, in Node: images, bounds and verdicts are the package's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from edge_sam.bundles.precisions import PRECISIONS
from edge_sam.inference.guard import probe_images
from edge_sam.predictor import Predictor

STORED = [each for each in PRECISIONS if not each.weights]
"""The precisions that files have; a browser computes in no other."""
SCRIPT = """
import { readFileSync, writeFileSync } from 'node:fs';
const [, source, file, output] = process.argv;
const { checkProbe, probeImages } = await import(`${source}/guard.js`);
const { readNpz } = await import(`${source}/npz.js`);
const stored = readNpz(Uint8Array.from(readFileSync(file)).buffer);
const [, rows, columns] = stored.image_embedding.shape;
writeFileSync(output, Buffer.concat(probeImages(rows, columns).map(({ buffer }) => Buffer.from(buffer))));

function verdict(change, precision = 'w16') {
  const computed = {};
  for (const [name, { data }] of Object.entries(stored)) {
    const both = [data.slice(0, data.length / 2), data.slice(data.length / 2)];
    computed[name] = name === 'low_res_logits' ? change(both) : both;
  }
  try {
    return checkProbe(computed, stored, precision);
  } catch (error) {
    return error.message;
  }
}
const scaled = (factor) => ([a, b]) => [a.map((value) => value * factor), b.map((value) => value * factor)];
const bounds = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify({
  same: verdict((both) => both),
  constant: verdict(([a]) => [a, a]),
  broken: verdict(([a, b]) => [a, b.map((value, i) => (i === 7 ? NaN : value))]),
  short: verdict(([a, b]) => [a, b.slice(1)]),
  within: bounds.map(([name, bound]) => verdict(scaled(1 + 0.9 * bound), name)),
  beyond: bounds.map(([name, bound]) => verdict(scaled(1 + 1.1 * bound), name)),
}));
"""


@pytest.fixture(scope="module")
def said(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What the guard says of outputs that are right and wrong, and the file with its probe images."""
    if shutil.which("node") is None:
        pytest.skip("no Node")
    images = tmp_path_factory.mktemp("probe") / "images"
    bundle = predictor.bundle
    (probe,) = (each for each in bundle.manifest.components if each.role == "probe")
    source = (ROOT / "examples" / "browser" / "src").as_uri()
    command = ["node", "--input-type=module", "-e", SCRIPT, source, str(bundle.path / probe.file), str(images)]
    bounds = json.dumps([[each.name, each.probe_bound] for each in STORED] + [["unknown", 1e-3]])
    done = subprocess.run(command, input=bounds, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), images


def test_its_probe_images_are_those_of_the_package(said: tuple[dict[str, Any], Path], predictor: Predictor) -> None:
    theirs = np.fromfile(said[1], "<f4").reshape(2, -1)
    for ours, same in zip(probe_images(predictor.bundle.contract), theirs, strict=True):
        assert np.array_equal(ours.ravel(), same)


def test_it_refuses_what_the_package_refuses(said: tuple[dict[str, Any], Path]) -> None:
    verdicts = said[0]
    assert set(verdicts["same"].values()) == {0}
    assert "hardly differs" in verdicts["constant"]
    assert "not finite" in verdicts["broken"]
    assert "another size" in verdicts["short"]
    assert [type(each) for each in verdicts["within"]] == [dict] * (len(STORED) + 1)
    assert all("from the reference" in each for each in verdicts["beyond"])
