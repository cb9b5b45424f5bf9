"""What integers the kernels of a target want."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The form of int8 that a target's kernels do well.

    Attributes
    ----------
    name : str
        On the command line.
    activations : str
        numpy's name of the activations' type. Weights are always int8, symmetric, with a scale for each output.
    symmetric : bool
        Whether activations have the zero point 0.
    weight_limit : int
        Largest magnitude of a weight.
    runtime : str
        What its accuracy is measured with; see `edge_sam.runtimes.BACKENDS`.
    checked_here : bool
        Whether the kernels of the machine that quantises are those of the target. Otherwise the accuracy is that of
        the same graph in ONNX Runtime on this CPU, and the bundle says so.
    """

    name: str
    activations: str
    symmetric: bool
    weight_limit: int
    runtime: str
    checked_here: bool


TARGETS = {
    target.name: target
    for target in (
        # x86 without VNNI adds two products u8 × s8 in 16 bits: 2 · 255 · 64 = 32640 still fits, 127 would not.
        Target("cpu", "uint8", False, 64, "onnxruntime", True),
        Target("arm", "int8", False, 127, "onnxruntime", False),
        Target("tensorrt", "int8", True, 127, "onnxruntime", False),
        Target("openvino", "uint8", False, 127, "openvino", True),
    )
}
