"""Video files, cameras and streams through OpenCV."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.system.quiet import silenced
from edge_sam.video import EXTRA
from edge_sam.video.ffmpeg import file_options, opencv_options

_CODECS = {".avi": "MJPG", ".webm": "VP80"}
_USUAL = "mp4v"
_SMALL = 16
"""Pixels per side below which OpenCV's Motion JPEG writer overruns its buffer and crashes the process."""
_CONVERSIONS = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_log = logging.getLogger("edge_sam")


def open_capture(
    target: str | int,
    failure: str,
    backend: int = cv2.CAP_ANY,
    parameters: Sequence[int] = (),
    options: Mapping[str, str] | None = None,
) -> cv2.VideoCapture:
    """Open a source of frames with OpenCV. Raises `InputError` with the text `failure` if that fails.

    FFmpeg gets `options`, by default those of a file. Names and addresses are left to FFmpeg if OpenCV has it, because
    other backends know no such options, and take ``img001.mp4`` for a series of pictures.
    """
    if isinstance(target, str):
        _check_name(target)
        if backend == cv2.CAP_ANY and cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
            backend = cv2.CAP_FFMPEG
    _quiet_ffmpeg()
    try:
        with opencv_options(file_options() if options is None else options):
            capture = cv2.VideoCapture(target, backend, parameters)
    except cv2.error as error:
        raise InputError(failure) from error
    if not capture.isOpened():
        raise InputError(failure)
    return capture


def to_rgb(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a frame of OpenCV to RGB (height, width, 3). Raises `InputError` if it is not a picture."""
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    if channels not in _CONVERSIONS or frame.dtype != np.uint8 or not frame.size:
        raise InputError(f"{frame.dtype} pixels of shape {frame.shape} are not a picture")
    return np.asarray(cv2.cvtColor(frame, _CONVERSIONS[channels]), dtype=np.uint8)


class OpenCvFrames:
    """See `edge_sam.video.Frames`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = open_capture(str(path.absolute()), f"cannot open {path}: OpenCV cannot read it as a video")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.time: float | None = None
        self.codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace")

    def grab(self) -> bool:
        """See `Frames`."""
        grabbed = self._capture.grab()
        self.time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return grabbed

    def retrieve(self) -> NDArray[np.uint8]:
        """See `Frames`."""
        there, frame = self._capture.retrieve()
        if not there:
            raise InputError(f"{self._path}: a frame cannot be decoded")
        return to_rgb(frame)

    def close(self) -> None:
        """See `Frames`."""
        self._capture.release()


class OpenCvWriter:
    """See `edge_sam.video.VideoWriter`."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        width, height = size
        if min(size) < 2:
            raise InputError(f"OpenCV cannot write a video of {width}×{height}; to write it: {EXTRA}")
        if width % 2 or height % 2:
            _log.warning(
                f"the video is {width // 2 * 2}×{height // 2 * 2} instead of {width}×{height}, because OpenCV writes"
                f" only even sizes; to keep odd ones: {EXTRA}"
            )
        _check_name(str(path))
        _quiet_ffmpeg()
        codec = _CODECS.get(path.suffix.lower(), _USUAL)
        if codec == "MJPG" and min(size) < _SMALL:
            codec = "XVID"
        with silenced():  # It warns about WebM files, although they are fine.
            self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size)
        if not self._writer.isOpened():
            raise OSError(errno.EIO, "OpenCV cannot write this video here", str(path))

    def write(self, picture: NDArray[np.uint8]) -> None:
        """See `VideoWriter`."""
        self._writer.write(picture)

    def close(self) -> None:
        """See `VideoWriter`."""
        self._writer.release()


def _quiet_ffmpeg() -> None:
    """Keep FFmpeg from logging every lost connection. OpenCV reads this when it first uses FFmpeg."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _check_name(name: str) -> None:
    """Raise `InputError` for a name that would crash the process in OpenCV."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"OpenCV cannot open a name that is not UTF-8: {name}; for files: {EXTRA}") from error
