"""MobileSAM's own predictor and mask generator (package `mobilesam-mirror`, extra `bench`) as references.

It imports a few small functions from torchvision and timm. torchvision has no build for CPU-only torch on the package
index, so stubs with just these functions replace both packages.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edge_sam.bundles.bundle import file_sha256
from edge_sam.evaluation.variant import Ask, SegmenterFacts, Wanted
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import FRAME
from edge_sam.preference import choose, suitable
from edge_sam.prompts import Prompt
from edge_sam.result import Result


class _DropPath(torch.nn.Identity):
    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def _box_area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, _categories: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Suppress (N, 4) XYXY boxes greedily. The generator has only one category."""
    area = _box_area(boxes)
    remaining, kept = scores.argsort(descending=True, stable=True), []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        corners = boxes[remaining]
        size = torch.minimum(corners[:, 2:], boxes[best, 2:]) - torch.maximum(corners[:, :2], boxes[best, :2])
        common = size.clamp(min=0).prod(dim=1)
        remaining = remaining[common / (area[remaining] + area[best] - common) <= iou_threshold]
    return torch.stack(kept) if kept else remaining


def _module(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


def install_stubs() -> None:
    """Install stubs of torchvision and timm before `mobile_sam` is imported."""
    if "mobile_sam" in sys.modules:
        return
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops", "timm", "timm.models"):
        _module(name)
    _module(
        "torchvision.transforms.functional",
        # torchvision resizes PIL images with PIL's bilinear filter.
        resize=lambda image, size: image.resize((size[1], size[0]), Image.Resampling.BILINEAR),
        to_pil_image=Image.fromarray,
    )
    _module("torchvision.ops.boxes", batched_nms=_batched_nms, box_area=_box_area)
    _module(
        "timm.models.layers",
        DropPath=_DropPath,
        to_2tuple=lambda x: (x, x),
        trunc_normal_=torch.nn.init.trunc_normal_,
    )
    _module("timm.models.registry", register_model=lambda function: function)


def load_predictor(checkpoint: Path) -> Any:
    """Return upstream's `SamPredictor` with the weights of a checkpoint."""
    model = _load_model(checkpoint)
    from mobile_sam import SamPredictor

    return SamPredictor(model)


def load_generator(checkpoint: Path, **options: Any) -> Any:
    """Return upstream's `SamAutomaticMaskGenerator` with the weights of a checkpoint."""
    model = _load_model(checkpoint)
    from mobile_sam import SamAutomaticMaskGenerator

    return SamAutomaticMaskGenerator(model, **options)


def _load_model(checkpoint: Path) -> torch.nn.Module:
    install_stubs()
    from mobile_sam.build_sam import build_sam_vit_t

    model: torch.nn.Module = build_sam_vit_t()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    # Changing the mode computes the attention-bias tables, so it must follow the loading of weights.
    model.train()
    model.eval()
    return model


class TorchReference:
    """MobileSAM's own predictor with the interface of `edge_sam.evaluation`.

    Parameters
    ----------
    checkpoint : Path
        The weights.
    threads : int, optional
        Threads of torch in the whole process. Default: torch's default.

    Attributes
    ----------
    facts : SegmenterFacts
        Description for reports.
    """

    def __init__(self, checkpoint: Path, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._predictor = load_predictor(checkpoint)
        self.facts = SegmenterFacts(
            model="mobile-sam",
            weights=file_sha256(checkpoint),
            precision="fp32",
            unproved=False,
            runtime="torch",
            provider=f"torch {torch.__version__} {self._predictor.device}",
            long_side=FRAME,
            square=True,
            full_grid=True,
        )

    def encode(self, image: NDArray[np.uint8]) -> Ask:
        """Encode a photograph, (height, width, 3) RGB. The returned function is valid until the next call."""
        self._predictor.set_image(image)
        return self._answer

    def _answer(self, prompt: Prompt, wanted: Wanted) -> Result:
        prefer = suitable(prompt) if wanted == "default" else "single"
        masks, scores, logits = self._predictor.predict(
            point_coords=prompt.points,
            point_labels=prompt.labels,
            box=prompt.box,
            mask_input=None if prompt.mask is None else prompt.mask[None],
            multimask_output=wanted == "three" or prefer != "single",
        )
        order = np.argsort(-scores, kind="stable")
        if wanted == "default" and prefer != "single":
            # Our own rule, so that only the models differ. Token 0 is missing here; the first of the three stands in.
            rows, columns = Geometry(tuple(masks.shape[1:]), square=True).cell_size
            planes = np.concatenate([logits[:1], logits])[:, :rows, :columns]
            chosen = choose(planes, np.concatenate([scores[:1], scores]), prefer, prompt)
            order = np.array([max(chosen, 1) - 1])
        return Result(masks[order], scores[order], logits[order], self.facts.provider)
