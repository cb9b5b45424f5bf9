"""Seeded weights and inputs, and what a reference implementation made of them.

`python -m families NAME` records outputs once, on a machine that has the reference. Tests make the same weights and
inputs again and compare. All random numbers come from `numpy.random.RandomState`, whose streams never change.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_sam.bundles.contract import TOKENS
from edge_sam.export.torch_model import TorchModel, load_model
from edge_sam.inference.token_list import token_list

OUTPUTS = Path(__file__).parent / "outputs"
MOST_SAMPLES = 2000
"""Values of each output that are kept."""
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Case:
    """One prompt in the frame of 1024×1024 pixels."""

    name: str
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    masked: bool = False

    @property
    def mask(self) -> Tensor | None:
        """(1, 256, 256) low-res logits."""
        return 8 * normal("mask", (1, 256, 256)) if self.masked else None


CASES = (
    Case("click", ((700.25, 300.5),), (1,)),
    Case("points", ((100.0, 900.0), (512.5, 40.0), (640.0, 512.0)), (1, 0, 1)),
    Case("box", box=(120.0, 80.5, 800.0, 650.0)),
    Case("box and point", ((300.0, 333.0),), (0,), (120.0, 80.5, 800.0, 650.0)),
    Case("click and mask", ((700.25, 300.5),), (1,), masked=True),
    Case("mask", masked=True),
)


def normal(name: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal values, seeded by a name."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))


def seeded(shapes: Shapes) -> dict[str, Tensor]:
    """Weights with the spread of trained ones: no gain is 1, no bias 0, and attention is neither flat nor saturated.

    Variances of batch norms go down to 0.0001, where the epsilon counts, and their gains make up for it.
    """
    weights = {name: _weight(name, shape) for name, shape in shapes.items()}
    for name, variance in weights.items():
        if name.endswith(".running_var"):
            weights[name.replace("running_var", "weight")] *= variance.sqrt()
    return weights


def _weight(name: str, shape: tuple[int, ...]) -> Tensor:
    part = name.rpartition(".")[2]
    if part == "num_batches_tracked":
        return torch.tensor(1000)
    values = normal(name, shape)
    if part == "running_var":
        return torch.exp(2 * values - 3).clamp(1e-4, 1)
    if len(shape) == 1:
        return 0.2 * values + (1.0 if part == "weight" else 0.0)
    if part.startswith(("pos_embed", "rel_pos", "attention_biases")):
        return 0.3 * values
    if part.endswith("gaussian_matrix") or shape[0] <= 4 or "embed" in part:
        return values
    inputs = values[0].numel() if "upscaling" not in name else shape[0]
    spread = 1.5 if "q" in part + name.split(".")[-2] else 1.2
    weight: Tensor = values * (spread / float(inputs) ** 0.5)
    return weight


def picture(height: int, width: int) -> Tensor:
    """(1, 3, height, width) normalised colours: smooth, with noise."""
    y, x = torch.meshgrid(torch.linspace(-2, 2, height), torch.linspace(-2, 2, width), indexing="ij")
    smooth = torch.stack([torch.sin(3 * x + y), torch.cos(2 * y - x), torch.sin(x * y)])
    return (smooth + 0.3 * normal("picture", (3, height, width)))[None]


def embedding() -> Tensor:
    """(1, 64, 64, 256) image embedding, for decoders."""
    return normal("embedding", (1, *TOKENS))


def fine_features() -> Tensor:
    """(1, 256, 256, 32) features, for HQ-SAM's decoder."""
    return normal("features", (1, 256, 256, 32))


def sampled(output: Tensor) -> NDArray[np.float32]:
    """Take up to `MOST_SAMPLES` values, spread over the whole tensor."""
    flat = output.detach().reshape(-1)
    return np.asarray(flat[:: -(-len(flat) // MOST_SAMPLES) | 1].numpy())


@dataclass(frozen=True)
class Recording:
    """Shapes of the official checkpoint's tensors, and sampled outputs of the reference."""

    shapes: Shapes
    outputs: Mapping[str, NDArray[np.float32]]

    def model(self, folder: Path, key: str | None = None) -> TorchModel:
        """Save the seeded weights as the official checkpoint is, under `key`, and load them."""
        tensors, path = seeded(self.shapes), folder / "random.pt"
        torch.save({key: tensors} if key else tensors, path)
        return load_model(path)[1]

    def check(self, name: str, output: Tensor, bound: float) -> None:
        """Assert that an output differs by at most `bound`, relative to the spread of the reference."""
        theirs, ours = self.outputs[name], sampled(output)
        difference = np.abs(ours - theirs).max() / theirs.std()
        assert difference < bound, f"{name}: {difference:.2e} of the spread"

    def check_answer(self, case: str, answer: tuple[Tensor, Tensor]) -> None:
        """Assert that logits, masks (IoU of at least 0.999) and scores for a prompt agree."""
        logits, scores = answer
        self.check(f"logits {case}", logits, 1e-3)
        theirs, ours = self.outputs[f"logits {case}"] > 0, sampled(logits) > 0
        assert 0.02 < theirs.mean() < 0.98
        assert (theirs & ours).sum() >= 0.999 * (theirs | ours).sum()
        self.check(f"scores {case}", scores, 1e-3)


def save(name: str, shapes: Shapes, outputs: Mapping[str, Tensor]) -> None:
    """Write a recording."""
    OUTPUTS.mkdir(exist_ok=True)
    header = np.frombuffer(json.dumps(shapes).encode(), np.uint8)
    arrays = {key: sampled(value) for key, value in outputs.items()}
    np.savez_compressed(OUTPUTS / f"{name}.npz", shapes=header, **arrays)  # type: ignore[arg-type]


def load(name: str) -> Recording:
    """Read a recording."""
    with np.load(OUTPUTS / f"{name}.npz") as arrays:
        shapes = json.loads(arrays["shapes"].tobytes())
        outputs = {key: arrays[key] for key in arrays if key != "shapes"}
    return Recording({key: tuple(shape) for key, shape in shapes.items()}, outputs)


@torch.no_grad()
def answer(model: TorchModel, case: Case, *maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return our (1, 4, 256, 256) logits and (1, 4) scores for a prompt on `embedding` and further feature maps."""
    image = embedding()
    tokens = image + model.no_mask
    if case.mask is not None:
        tokens = model.mask_encoder(image, case.mask)
    points, labels = list(case.points), list(case.labels)
    if case.box:
        points += [case.box[:2], case.box[2:]]
        labels += [2, 3]
    elif points:
        points.append((0, 0))
        labels.append(-1)
    if not points:
        points, labels = [(0, 0)], [-2]
    listed = token_list(*TOKENS[:2])
    weighted = map(torch.from_numpy, (listed.take(tokens.numpy()), *listed.inputs.values()))
    images = weighted if model.contract.weighted_tokens else [tokens]
    inputs = [*images, *maps, torch.tensor([points], dtype=torch.float32), torch.tensor([labels])]
    if model.contract.fit.padded:
        inputs.append(torch.tensor(TOKENS[:2]))
    return model.decode(*inputs)
