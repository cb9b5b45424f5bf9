"""MobileSAM's own torch predictor (package `mobilesam-mirror`, extra `bench`), to compare with.

It imports torchvision and timm for a handful of small things. Neither is needed here: torchvision has no build for
CPU-only torch on the package index, so stand-ins for just those things are put in their place.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edge_sam import Prompt, Result
from edge_sam.download import file_sha256
from edge_sam.evaluation.segmenters import Facts
from edge_sam.geometry import FRAME


class _DropPath(torch.nn.Identity):
    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def _module(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


def _install_stand_ins() -> None:
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops", "timm", "timm.models"):
        _module(name)
    _module(
        "torchvision.transforms.functional",
        # torchvision resizes PIL images with PIL's own bilinear filter.
        resize=lambda image, size: image.resize((size[1], size[0]), Image.Resampling.BILINEAR),
        to_pil_image=Image.fromarray,
    )
    _module("torchvision.ops.boxes", batched_nms=None, box_area=None)
    _module(
        "timm.models.layers",
        DropPath=_DropPath,
        to_2tuple=lambda x: (x, x),
        trunc_normal_=torch.nn.init.trunc_normal_,
    )
    _module("timm.models.registry", register_model=lambda function: function)


def load_predictor(checkpoint: Path) -> Any:
    """Return upstream's `SamPredictor` with the weights of `checkpoint`."""
    if "mobile_sam" not in sys.modules:
        _install_stand_ins()
    from mobile_sam import SamPredictor
    from mobile_sam.build_sam import build_sam_vit_t

    model = build_sam_vit_t()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    # The attention-bias tables are made when the mode changes, so only now, after the weights are there.
    model.train()
    model.eval()
    return SamPredictor(model)


class TorchReference:
    """MobileSAM's own predictor, asked as `edge_sam.evaluation` asks.

    Parameters
    ----------
    checkpoint : Path
        Its weights.
    threads : int, optional
        Threads of torch, for the whole process. Default: torch's own.

    Attributes
    ----------
    facts : Facts
        What reports say about it.
    """

    def __init__(self, checkpoint: Path, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._predictor = load_predictor(checkpoint)
        self.facts = Facts(
            model="mobile-sam",
            weights=file_sha256(checkpoint),
            precision="fp32",
            runtime="torch",
            provider=f"torch {torch.__version__} {self._predictor.device}",
            long_side=FRAME,
            square=True,
        )

    def encode(self, image: NDArray[np.uint8]) -> Callable[[Prompt, bool], Result]:
        """Look at a photograph, (height, width, 3) RGB. The answer holds until the next call."""
        self._predictor.set_image(image)
        return self._answer

    def _answer(self, prompt: Prompt, multimask: bool) -> Result:
        masks, scores, logits = self._predictor.predict(
            point_coords=prompt.points,
            point_labels=prompt.labels,
            box=prompt.box,
            mask_input=None if prompt.mask is None else prompt.mask[None],
            multimask_output=multimask,
        )
        order = np.argsort(-scores, kind="stable")
        return Result(masks[order], scores[order], logits[order], self.facts.provider)
