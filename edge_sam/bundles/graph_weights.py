"""Read and write ONNX graphs whose weights may be beyond the limit of protobuf.

It imports onnx, so only the exporter and the quantiser may import it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

LARGEST = 2_000_000_000
"""Bytes of weights in a graph's own file. Protobuf takes 2 GiB."""
_SMALL = 4096
"""Bytes of weights that stay in the graph's own file even if the others do not."""


def read_graph(file: Path) -> ModelProto:
    """Read a graph. Weights in a second file stay there until `array_of` reads them.

    The graph remembers the folder of that file, so it may be changed, copied and written elsewhere.
    """
    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        if _is_outside(tensor):
            tensor.external_data.add(key="basepath", value=str(file.parent.absolute()))
    return model


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """Return the values of a tensor of a graph from `read_graph`."""
    if not _is_outside(tensor):
        return numpy_helper.to_array(tensor)
    place = {entry.key: entry.value for entry in tensor.external_data}
    values = np.fromfile(
        Path(place["basepath"], place["location"]),
        helper.tensor_dtype_to_np_dtype(tensor.data_type),
        count=int(np.prod(tensor.dims)),
        offset=int(place.get("offset", 0)),
    )
    return values.reshape(tuple(tensor.dims))


def write_graph(model: ModelProto, file: Path) -> list[Path]:
    """Write a graph, which is not changed.

    Returns
    -------
    list of Path
        The file. Graphs beyond `LARGEST` have their weights in a second file beside it.
    """
    if sum(map(_bytes_of, model.graph.initializer)) < LARGEST:
        whole = model
        if any(map(_is_outside, model.graph.initializer)):
            whole = without_weights(model)
            whole.graph.initializer.extend(_inside(tensor, array_of(tensor)) for tensor in model.graph.initializer)
        file.write_bytes(whole.SerializeToString(deterministic=True))
        return [file]
    beside = file.with_name(f"{file.name}.data")
    listed = without_weights(model)
    with beside.open("wb") as weights:
        for tensor in model.graph.initializer:
            array = array_of(tensor)
            if array.nbytes < _SMALL:
                listed.graph.initializer.append(_inside(tensor, array))
                continue
            entry = listed.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            entry.data_location = TensorProto.EXTERNAL
            for key, value in {"location": beside.name, "offset": weights.tell(), "length": array.nbytes}.items():
                entry.external_data.add(key=key, value=str(value))
            array.tofile(weights)
    file.write_bytes(listed.SerializeToString(deterministic=True))
    return [file, beside]


def without_weights(model: ModelProto) -> ModelProto:
    """Return a copy of a graph without its initializers."""
    copy = ModelProto()
    _copy_fields(model, copy, "graph")
    _copy_fields(model.graph, copy.graph, "initializer")
    return copy


def _copy_fields(source: Any, target: Any, besides: str) -> None:
    for field, value in source.ListFields():
        if field.name == besides:
            continue
        if isinstance(value, str | int):
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).extend(value)


def _is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _bytes_of(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims)) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _inside(tensor: TensorProto, array: NDArray[Any]) -> TensorProto:
    return tensor if not _is_outside(tensor) else numpy_helper.from_array(array, tensor.name)
