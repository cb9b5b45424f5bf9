"""Graphs against their torch modules, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from edge_sam.bundles.contract import Role
from edge_sam.export import onnx_writer
from edge_sam.export.onnx_writer import to_onnx
from edge_sam.export.torch_model import TorchModel
from families.recorded import picture


def session(model: TorchModel, role: Role) -> onnxruntime.InferenceSession:
    """Export a component and load it on one thread."""
    graph = to_onnx(role, getattr(model, role), False, model.contract)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def check_encoder(model: TorchModel, sizes: Sequence[tuple[int, int]]) -> None:
    """Trace the encoder at the first size and compare it at all of them."""
    examples = dict(onnx_writer._EXAMPLES)
    try:
        onnx_writer._EXAMPLES.update(height=sizes[0][0], width=sizes[0][1])
        encoder = session(model, "encoder")
    finally:
        onnx_writer._EXAMPLES.update(examples)
    for size in sizes:
        image = picture(*size)
        expected = model.encoder(image)
        maps: Sequence[Tensor] = expected if isinstance(expected, tuple) else (expected,)
        for ours, theirs in zip(encoder.run(None, {"image": image.numpy()}), maps, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
