"""The public Python API as data: names, methods and parameters."""

from __future__ import annotations

import inspect
from typing import Any

import edge_sam
import edge_sam.camera
import edge_sam.compat
import edge_sam.tracking

MODULES = (edge_sam, edge_sam.camera, edge_sam.compat, edge_sam.tracking)


def public_api() -> dict[str, dict[str, bool] | None]:
    """Return the parameters of each function, class and method, and whether each is required. None: no callable."""
    api: dict[str, dict[str, bool] | None] = {}
    for module in MODULES:
        for name in module.__all__:
            if name.startswith("__"):
                continue
            found = getattr(module, name)
            api[f"{module.__name__}.{name}"] = _parameters(found)
            if inspect.isclass(found):
                for member in sorted(set(dir(found)) - set(dir(Exception)) - set(dir(object))):
                    if not member.startswith("_"):
                        api[f"{module.__name__}.{name}.{member}"] = _parameters(getattr(found, member))
                annotated: Any = getattr(found, "__dataclass_fields__", {})
                for field in annotated:
                    if not field.startswith("_"):
                        api.setdefault(f"{module.__name__}.{name}.{field}", None)
    return api


def _parameters(found: object) -> dict[str, bool] | None:
    if not callable(found) or inspect.ismodule(found):
        return None
    try:
        signature = inspect.signature(found)
    except ValueError:
        return None
    return {
        name: parameter.default is parameter.empty
        for name, parameter in signature.parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
