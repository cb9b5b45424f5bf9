"""Int8 in OpenVINO's own format, made by NNCF."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edge_sam.errors import MissingExtraError
from edge_sam.runtimes import Tensors

SCOPES = ("linear", "all")
"""``linear``: only matrix products with constant weights; ``all``: convolutions and attention's products as well."""
_FLOAT = ("MVN", "SoftMax", "Softmax")
"""Operators that compute in float always. (LayerNormalization becomes MVN.)"""


@dataclass(frozen=True)
class Intermediate:
    """A model in OpenVINO's intermediate representation: the graph (``.xml``) and its weights (``.bin``)."""

    graph: bytes
    weights: bytes


def quantise_openvino(
    model: ModelProto, inputs: Sequence[Tensors], *, scope: str = "linear", keep: Sequence[str] = ()
) -> Intermediate:
    """Quantise a float graph for OpenVINO on CPUs.

    Parameters
    ----------
    model : ModelProto
        The encoder or the decoder in float32, its weights stored as float32 or fp16.
    inputs : sequence of dict of str to ndarray
        What the component was given for the calibration photographs; every one is run.
    scope : str
        One of `SCOPES`.
    keep : sequence of str
        Regular expressions; operators whose names match stay in float. The last layers belong here.

    Returns
    -------
    Intermediate
        The same bytes for the same model and inputs, with the same versions of OpenVINO and NNCF.

    Raises
    ------
    MissingExtraError
        NNCF or OpenVINO is not installed.
    """
    openvino, nncf = _packages()
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model.SerializeToString())
        graph = openvino.convert_model(file)
    ignored = nncf.IgnoredScope(
        types=[*_FLOAT, *([] if scope == "all" else ["Convolution", "GroupConvolution"])],
        names=_products_of_activations(graph) if scope == "linear" else [],
        patterns=list(keep),
        validate=False,
    )
    quantised = nncf.quantize(
        graph,
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=ignored,
    )
    return _serialise(openvino, quantised)


def _packages() -> tuple[Any, Any]:
    try:
        import nncf
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            'int8 for OpenVINO needs NNCF, which is not installed: pip install "edge-sam[openvino-int8]"'
        ) from error
    return openvino, nncf


def _products_of_activations(graph: Any) -> list[str]:
    """Name the matrix products without constant weights: those of attention, which gain nothing from int8."""
    names = []
    for operator in graph.get_ordered_ops():
        if operator.get_type_name() == "MatMul" and not _is_constant(operator.input_value(1).get_node()):
            names.append(operator.get_friendly_name())
    return names


def _is_constant(node: Any) -> bool:
    """Tell whether a node gives weights: a constant, through conversions and transpositions."""
    while node.get_type_name() in ("Convert", "Transpose"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def _serialise(openvino: Any, model: Any) -> Intermediate:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        return Intermediate(file.read_bytes(), file.with_suffix(".bin").read_bytes())
