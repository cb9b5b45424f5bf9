"""The ONNX files of the usual export tools, for comparison."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch


def export_plain(predictor: Any, folder: Path) -> None:
    """Write the files of the usual export tools: a 1024×1024 encoder, and a decoder that resizes the masks."""
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
