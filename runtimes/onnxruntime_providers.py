"""Execution providers of ONNX Runtime by name: CoreML, DirectML, QNN, XNNPACK, OpenVINO, MIGraphX and others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.onnxruntime_session import CPU, load_package

_SUFFIX = "ExecutionProvider"
_SHORT = {"directml": "dml"}
"""Names that people use for providers, where ONNX Runtime uses another."""
_IDLE = "AzureExecutionProvider"
"""A provider of some packages that runs no graph of its own."""
_ON_CPU = ("acl", "armnn", "dnnl", "xnnpack")
"""Providers that compute on the CPU."""


def find_provider(device: str) -> str | None:
    """Return the installed provider that a device names (``CoreML``, in any case), or None."""
    short = device.lower()
    wanted = f"{_SHORT.get(short, short)}{_SUFFIX}".lower()
    names: list[str] = load_package().get_available_providers()
    return next((name for name in names if name.lower() == wanted and name != CPU), None)


def why_no_provider(device: str) -> str | None:
    """Return None if a device names an installed provider, else the reason in one line."""
    try:
        if find_provider(device):
            return None
        installed = load_package().get_available_providers()
    except ImportError as error:
        return f"onnxruntime cannot be imported ({error})"
    if device.lower() == "cpu":
        return "onnxruntime without a name after it runs on the CPU; leave out ':CPU'"
    others = [name.removesuffix(_SUFFIX) for name in installed if name not in (CPU, _IDLE)]
    has = f"it has {', '.join(others)}" if others else "it has none but the CPU's"
    return (
        f"the installed onnxruntime has no provider {device!r}; {has}. Other providers come in other packages, such as"
        " onnxruntime-directml, onnxruntime-qnn or onnxruntime-openvino, in place of onnxruntime"
    )


def computes_on_cpu(device: str) -> bool:
    """Tell whether a provider computes on the CPU."""
    return device.lower() in _ON_CPU


def provider_that_runs(session: Any, provider: str, model: str) -> str:
    """Return which provider runs how many nodes of a session.

    Raises
    ------
    RuntimeUnavailableError
        The provider runs none of them: ONNX Runtime gave all to the CPU.
    """
    if provider == CPU:
        return CPU
    info = getattr(session, "get_provider_graph_assignment_info", None)
    if info is None:
        return f"{provider}, and {CPU} for what it does not take"
    nodes = Counter[str]()
    for part in info():
        nodes[part.ep_name] += len(part.get_nodes())
    if not nodes[provider]:
        raise RuntimeUnavailableError(f"{provider} runs nothing of {model}: ONNX Runtime gave it to the CPU")
    rest = nodes.total() - nodes[provider]
    return f"{provider} ({nodes[provider]} nodes, {rest} on the CPU)" if rest else provider
