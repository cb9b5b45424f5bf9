"""matplotlib, without files in the home folder or settings from the working folder."""

from __future__ import annotations

import io
import os

from edge_sam.files.cache_home import cache_home
from edge_sam.system.processes import outside_working_folder

os.environ.setdefault("MPLCONFIGDIR", str(cache_home() / "matplotlib"))  # Read at the first import.
with outside_working_folder():
    from matplotlib.figure import Figure

__all__ = ["Figure", "to_png"]


def to_png(figure: Figure, dpi: int) -> bytes:
    """Render a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()
