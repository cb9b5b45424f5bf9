"""What `pip install edge-sam` brings. Boards may have the package without some of it."""

from __future__ import annotations

from edge_sam.errors import one_line

CORE = frozenset(
    {
        "PIL",
        "cv2",
        "cyclopts",
        "filelock",
        "msgspec",
        "numpy",
        "onnxruntime",
        "platformdirs",
        "pycocotools",
        "pypi_simple",
        "requests",
        "rich",
        "urllib3",
    }
)
"""Names of the modules of the core requirements."""


def missing_line(error: ModuleNotFoundError) -> str:
    """Return one line that names a missing module, and how to get it if it is of a core requirement."""
    if error.name is None:
        return one_line(error)
    advice = "; pip install edge-sam brings it" if error.name.partition(".")[0] in CORE else ""
    return f"{error.name} is not installed{advice}"
