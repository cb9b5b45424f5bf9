"""A window that shows the overlay."""

from __future__ import annotations

import os
import re
import sys

import cv2

from edge_sam.camera.frames import StreamFrame
from edge_sam.camera.sinks import draw_frame

_TITLE = "edge-sam"
_END_KEYS = (27, ord("q"), ord("Q"))


def why_no_window() -> str | None:
    """Return the reason why this machine cannot open a window, or None if it can."""
    interface = re.search(r"GUI:\s+(\S+)", cv2.getBuildInformation())
    if interface is None or interface.group(1) == "NONE":
        return (
            "this OpenCV is built without windows; pip uninstall opencv-python-headless, then pip install opencv-python"
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display (DISPLAY is not set); use --video FILE"
    return None


class Window:
    """Shows frames. Use it from the main thread, as window systems require."""

    def show(self, frame: StreamFrame) -> bool:
        """Show a frame. Return False if the user pressed Q or Escape."""
        cv2.imshow(_TITLE, draw_frame(frame))
        return cv2.waitKey(1) & 0xFF not in _END_KEYS
