"""A window with the overlay, where there is a display."""

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
    """Say in one line why there can be no window here; None where there can."""
    interface = re.search(r"GUI:\s+(\S+)", cv2.getBuildInformation())
    if interface is None or interface.group(1) == "NONE":
        return "this OpenCV has no windows; pip uninstall opencv-python-headless, then pip install opencv-python"
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display (DISPLAY is not set); use --video FILE"
    return None


class Window:
    """Shows frames. To be used from the main thread, as window systems want it."""

    def show(self, frame: StreamFrame) -> bool:
        """Show a frame. False: the user wants to end."""
        cv2.imshow(_TITLE, draw_frame(frame))
        return cv2.waitKey(1) & 0xFF not in _END_KEYS
