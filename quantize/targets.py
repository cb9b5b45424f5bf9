"""The int8 format that the kernels of each target want."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelTarget:
    """The int8 format that suits a target's kernels.

    Attributes
    ----------
    name : str
        Name on the command line.
    activations : str
        numpy type of activations. Weights are always int8, symmetric, with a scale for each output.
    symmetric : bool
        Whether activations have the zero point 0.
    pairs : bool
        Whether the sum of two neighbouring weights is limited; see `rounding.PAIR`.
    runtime : str
        Runtime to measure accuracy with; see `edge_sam.runtimes.BACKENDS`.
    checked_here : bool
        Whether the quantising machine has the target's kernels. Otherwise accuracy is measured on this CPU, and the
        bundle says so.
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
        KernelTarget("cpu", "uint8", False, True, "onnxruntime", True),
        KernelTarget("arm", "int8", False, False, "onnxruntime", False),
        KernelTarget("tensorrt", "int8", True, False, "onnxruntime", False),
        KernelTarget("openvino", "uint8", False, True, "openvino", True),
    )
}
