"""Int8 for matchers: the matrix products of a text model, by dynamic quantisation, which needs no calibration."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_sam.runtimes import REFERENCE, backend


def quantize_products(source: Path, target: Path) -> None:
    """Write a copy of a graph whose matrix products with constant weights compute in int8.

    Weights have 7 bits and a scale for each output: processors without VNNI saturate with 8. Activations are rounded to
    unsigned bytes at each run. Everything else stays in float.

    Parameters
    ----------
    source : Path
        An ``.onnx`` file.
    target : Path
        The file to write.
    """
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # It advises on the root logger to prepare the graph first.
    try:
        _quantize(source, target)
    finally:
        logging.root.setLevel(level)


def _quantize(source: Path, target: Path) -> None:
    backend(REFERENCE).load_package()  # Before any import of ONNX Runtime, because it turns telemetry off.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
