"""MobileSAM's own predictor and mask generator (package `mobilesam-mirror`), to compare with.

It imports torchvision and timm for a handful of small things. Neither is needed here: torchvision has no build for
CPU-only torch on the package index, so stand-ins for just those things are put in their place.
"""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image


class _DropPath(torch.nn.Identity):
    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def _box_area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, _categories: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Greedy suppression of (N, 4) XYXY boxes; the generator has only one category."""
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


def _install_stand_ins() -> None:
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops", "timm", "timm.models"):
        _module(name)
    _module(
        "torchvision.transforms.functional",
        # torchvision resizes PIL images with PIL's own bilinear filter.
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
    """Return upstream's `SamPredictor` with the weights of `checkpoint`."""
    model = _load_model(checkpoint)
    from mobile_sam import SamPredictor

    return SamPredictor(model)


def load_generator(checkpoint: Path, **options: Any) -> Any:
    """Return upstream's `SamAutomaticMaskGenerator` with the weights of `checkpoint`."""
    model = _load_model(checkpoint)
    from mobile_sam import SamAutomaticMaskGenerator

    return SamAutomaticMaskGenerator(model, **options)


def _load_model(checkpoint: Path) -> torch.nn.Module:
    if "mobile_sam" not in sys.modules:
        _install_stand_ins()
    from mobile_sam.build_sam import build_sam_vit_t

    model: torch.nn.Module = build_sam_vit_t()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    # The attention-bias tables are made when the mode changes, so only now, after the weights are there.
    model.train()
    model.eval()
    return model


def export_plain(predictor: Any, folder: Path) -> None:
    """Write the ONNX files that the usual export tools give: a 1024×1024 encoder, a decoder that resizes inside."""
    from mobile_sam.utils.onnx import SamOnnxModel

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            predictor.model.image_encoder,
            (torch.zeros(1, 3, 1024, 1024),),
            folder / "encoder.onnx",
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["image_embeddings"],
        )
        inputs = {
            "image_embeddings": torch.zeros(1, 256, 64, 64),
            "point_coords": torch.zeros(1, 2, 2),
            "point_labels": torch.ones(1, 2),
            "mask_input": torch.zeros(1, 1, 256, 256),
            "has_mask_input": torch.zeros(1),
            "orig_im_size": torch.tensor([480.0, 854.0]),
        }
        torch.onnx.export(
            SamOnnxModel(predictor.model, return_single_mask=False),
            tuple(inputs.values()),
            folder / "decoder.onnx",
            dynamo=False,
            opset_version=17,
            input_names=list(inputs),
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={"point_coords": {1: "points"}, "point_labels": {1: "points"}},
        )
