"""MobileSAM's own predictor (package `mobilesam-mirror`), to compare with.

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
