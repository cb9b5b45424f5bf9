"""The node's logic without ROS: takes images and prompts, publishes masks and boxes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_sam
from edge_sam.camera import PushedFrames, StreamFrame
from edge_sam.camera.sinks import frame_labels
from edge_sam.prompts import combine

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}

Detection = tuple[int, float, tuple[float, float, float, float]]
"""Number of the object, score, and box (centre x, centre y, width, height in pixels)."""


def to_rgb(data: bytes, height: int, width: int, step: int, encoding: str) -> NDArray[np.uint8]:
    """Convert the fields of a ``sensor_msgs/Image`` to an RGB array (height, width, 3).

    Raises
    ------
    InputError
        The encoding is not rgb8, bgr8, rgba8, bgra8 or mono8; the image has no pixels; the step is shorter than a row;
        or there are too few bytes.
    """
    channels = _CHANNELS.get(encoding)
    if channels is None:
        raise edge_sam.InputError(f"unknown encoding {encoding!r}; known: {', '.join(_CHANNELS)}")
    if width < 1 or height < 1:
        raise edge_sam.InputError(f"an image of {width}×{height} has no pixels")
    if step < width * channels:
        raise edge_sam.InputError(f"a step of {step} bytes is too short for {width} pixels in {encoding}")
    if len(data) < height * step:
        raise edge_sam.InputError(f"{len(data)} bytes are too few for {height} rows of {step} bytes")
    rows = np.frombuffer(data, np.uint8, height * step).reshape(height, step)
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    if encoding == "rgb8":
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.cvtColor(pixels, _TO_RGB[encoding]), dtype=np.uint8)


def to_prompts(points: Sequence[float], labels: Sequence[int], boxes: Sequence[float]) -> list[edge_sam.Prompt]:
    """Convert the fields of ``SetPrompt`` to prompts; see its file.

    Raises
    ------
    InputError
        The number of coordinates is wrong, or points come with several boxes.
    """
    if len(points) % 2 or len(boxes) % 4:
        raise edge_sam.InputError("each point needs two numbers, each box four")
    pairs = [points[i : i + 2] for i in range(0, len(points), 2)]
    corners = [boxes[i : i + 4] for i in range(0, len(boxes), 4)]
    return combine(pairs, labels or None, corners)


def detections(frame: StreamFrame) -> list[Detection]:
    """List the objects of a frame that are not lost."""
    found: list[Detection] = []
    for number, tracked in enumerate(frame.objects):
        if tracked.box is not None:
            x0, y0, x1, y1 = tracked.box.tolist()
            found.append((number, tracked.score, ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)))
    return found


class Bridge:
    """Tracks objects through pushed images, in its own thread.

    Parameters
    ----------
    publish : callable
        Called in that thread with the image's name, its label map as uint8 (height, width), and the detections.
    model : str or Predictor
        See `edge_sam.Stream`.
    options
        Options of `edge_sam.Stream`: ``long_side``, ``budget_ms``, ``fps``.
    """

    def __init__(
        self,
        publish: Callable[[str, NDArray[np.uint8], list[Detection]], None],
        model: str | edge_sam.Predictor = "mobile-sam",
        **options: float | int | None,
    ) -> None:
        self.error: Exception | None = None
        self._publish = publish
        self._source = PushedFrames()
        self._stream = edge_sam.Stream(self._source, model, **options)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._run, name="edge_sam bridge", daemon=True)
        self._thread.start()

    def push(self, image: NDArray[np.uint8], name: str) -> None:
        """Push an RGB image. A newer image replaces it if it is not taken in time.

        Raises
        ------
        InputError
            The image is invalid. It counts as corrupt, and you can go on with the next one.
        """
        self._source.push(image, name)

    def receive(self, data: bytes, height: int, width: int, step: int, encoding: str, name: str) -> None:
        """Push the fields of a ``sensor_msgs/Image``; see `push` and `to_rgb`."""
        try:
            image = to_rgb(data, height, width, step, encoding)
        except edge_sam.InputError as error:
            self._source.refuse(error)
            raise
        self._source.push(image, name)

    def prompt(self, prompts: Sequence[edge_sam.Prompt]) -> None:
        """Track these objects from the next image on."""
        self._stream.prompt(prompts)

    def close(self) -> str:
        """Stop. Returns a line of statistics."""
        self._source.end()
        self._thread.join()
        return str(self._stream)

    def _run(self) -> None:
        try:
            for frame in self._stream:
                self._publish(frame.name, frame_labels(frame), detections(frame))
        except Exception as error:  # The node raises it; a thread cannot.
            self.error = error
