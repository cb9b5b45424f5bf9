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
    pairs : bool
        Whether two weights that kernels multiply together are bounded together; see `rounding.PAIR`.
    runtime : str
        What its accuracy is measured with; see `edge_sam.runtimes.BACKENDS`.
    checked_here : bool
        Whether the kernels of the machine that quantises are those of the target. Otherwise the accuracy is that of
        the same graph in ONNX Runtime on this CPU, and the bundle says so.
    """

    name: str
    activations: str
    symmetric: bool
    pairs: bool
    runtime: str
    checked_here: bool


TARGETS = {
    target.name: target
    for target in (
        Target("cpu", "uint8", False, True, "onnxruntime", True),
        Target("arm", "int8", False, False, "onnxruntime", False),
        Target("tensorrt", "int8", True, False, "onnxruntime", False),
        Target("openvino", "uint8", False, True, "openvino", True),
    )
}
