"""Sources of frames: cameras, files, folders, network streams, GStreamer pipelines."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import EdgeSamError, InputError
from edge_sam.files.addresses import hide_passwords
from edge_sam.imaging.images import pictures, read_image
from edge_sam.video import VideoFile, usual_rate
from edge_sam.video.ffmpeg import SCHEMES, stream_options
from edge_sam.video.opencv import open_capture, to_rgb

SourceFrame = tuple[NDArray[np.uint8], str | None]
"""8-bit RGB (height, width, 3), and the frame's name or None."""


class SourceLostError(EdgeSamError):
    """A source stopped giving frames and could not be reopened."""


class CorruptFrameError(EdgeSamError):
    """One frame cannot be read. The next one may be fine."""


class Source(Protocol):
    """A source of frames. One thread at a time uses it. It can be reopened after `close`.

    Attributes
    ----------
    live : bool
        The source has no end, so an end is a failure. Frames that are not read in time are lost.
    rate : float or None
        Frames per second once it is open. None if unknown.
    """

    live: bool
    rate: float | None

    def open(self) -> None:
        """Connect. Raises `InputError` if that fails."""

    def read(self) -> SourceFrame | None:
        """Return the next frame, None at the end. Raises `CorruptFrameError` or `InputError` for an unusable frame."""

    def close(self) -> None:
        """Release the device, file or connection."""


def find_source(given: str | int | Path | Source, timeout: float, *, pipeline: bool = False) -> Source:
    """Find out what kind of source is meant, without opening it. A name that exists is a file, folder or device.

    Parameters
    ----------
    given : str, int, Path or Source
        A camera's number or device (``0``, ``/dev/video0``), a video file, a folder of frames, an address
        (``rtsp://…``, ``http://…``) or, with `pipeline`, a GStreamer pipeline. A `Source` is returned unchanged.
    timeout : float
        Seconds after which an address that does not answer counts as lost.
    pipeline : bool
        Whether `given` is a GStreamer pipeline. A pipeline can read and write any file, so it is never guessed.

    Raises
    ------
    InputError
        No such camera, file or folder; a folder without pictures; an address of an unknown kind; a pipeline but no
        GStreamer.
    """
    if not isinstance(given, str | int | Path):
        return given
    name = str(given)
    if pipeline:
        if "GStreamer: YES" not in re.sub(r" +", " ", cv2.getBuildInformation()):
            raise InputError("this OpenCV is built without GStreamer, as on PyPI; use the OpenCV of JetPack or Debian")
        return VideoSource(name, cv2.CAP_GSTREAMER, timeout=timeout)
    path = Path(name)
    if _exists(path):
        if path.is_dir():
            return FolderSource(path)
        return VideoSource(name, cv2.CAP_V4L2) if path.is_char_device() else FileSource(path)
    if address := re.match(r"([a-z][a-z0-9+.-]*)://", name, re.IGNORECASE):
        if address[1].lower() not in SCHEMES:
            raise InputError(f"addresses with {address[1]}:// are not read, only {', '.join(SCHEMES)}")
        return VideoSource(name, cv2.CAP_FFMPEG, timeout=timeout)
    if name.isdecimal():
        if not Path(f"/dev/video{name}").exists() and Path("/dev").is_dir():
            raise InputError(f"no camera {name}; cameras: {_cameras()}")
        return VideoSource(int(name), cv2.CAP_ANY)
    hint = "; if it is a GStreamer pipeline, give --pipeline (pipeline=True)" if " ! " in name else ""
    hint = f"; cameras: {_cameras()}" if name.startswith("/dev/") else hint
    raise InputError(f"no such video, folder or camera: {hide_passwords(name)}{hint}")


def _exists(path: Path) -> bool:
    """Tell whether a path exists. None does whose name is too long or has characters that no name has."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _cameras() -> str:
    return ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"


class VideoSource:
    """A camera, network stream or pipeline, read by OpenCV's `VideoCapture`.

    Parameters
    ----------
    target : str or int
        Device, address, pipeline or number.
    backend : int
        OpenCV's number of the library that opens it.
    timeout : float, optional
        Seconds to wait for an answer, if the library supports it.

    Attributes
    ----------
    live, rate
        See `Source`. An address that turns out to be a file of known length is not live.
    """

    def __init__(self, target: str | int, backend: int, *, timeout: float | None = None) -> None:
        self.live = True
        self.rate: float | None = None
        self._target, self._backend, self._timeout = target, backend, timeout
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """See `Source`."""
        parameters: list[int] = []
        if self._timeout is not None:
            milliseconds = max(1, int(self._timeout * 1000))
            for option in (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC):
                parameters += [option, milliseconds]
        failure = f"cannot open {hide_passwords(str(self._target))} as a camera or stream"
        options = stream_options(str(self._target)) if self._backend == cv2.CAP_FFMPEG else {}
        capture = open_capture(self._target, failure, self._backend, parameters, options)
        if isinstance(self._target, int) or self._backend == cv2.CAP_V4L2:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # Otherwise the driver queues old frames.
        self.rate = usual_rate(capture.get(cv2.CAP_PROP_FPS))
        if self._backend == cv2.CAP_FFMPEG and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            self.live = False
        self._capture = capture

    def read(self) -> SourceFrame | None:
        """See `Source`."""
        assert self._capture is not None
        try:
            there, frame = self._capture.read()
        except cv2.error as error:
            raise CorruptFrameError(str(error)) from error
        return (to_rgb(frame), None) if there and frame is not None else None

    def close(self) -> None:
        """See `Source`."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class FileSource:
    """A video file.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    live, rate
        See `Source`.
    time : float or None
        Seconds from the first frame to the last frame read. None if the file has no timestamps.
    """

    def __init__(self, path: Path) -> None:
        self.live = False
        self.rate: float | None = None
        self._path = path
        self._video: VideoFile | None = None

    def open(self) -> None:
        """See `Source`."""
        self._video = VideoFile(self._path)
        self.rate = self._video.rate

    @property
    def time(self) -> float | None:
        """See the class."""
        return None if self._video is None else self._video.time

    def read(self) -> SourceFrame | None:
        """See `Source`."""
        assert self._video is not None
        image = self._video.read()
        return None if image is None else (image, None)

    def close(self) -> None:
        """See `Source`."""
        if self._video is not None:
            self._video.close()
            self._video = None


class FolderSource:
    """The pictures of a folder in natural order: ``2.png`` before ``10.png``.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        The folder has no pictures, or two that differ only in their suffix: their masks would share a name.
    """

    def __init__(self, folder: Path) -> None:
        self.live = False
        self.rate: float | None = None
        self._files = pictures(folder)
        if not self._files:
            raise InputError(f"{folder} has no pictures")
        for one, other in itertools.pairwise(sorted(self._files, key=lambda file: file.stem)):
            if one.stem == other.stem:
                raise InputError(
                    f"{one.name} and {other.name} in {folder} would share a frame name; rename one of them"
                )
        self._next = 0

    def open(self) -> None:
        """See `Source`."""
        self._next = 0

    def read(self) -> SourceFrame | None:
        """See `Source`."""
        if self._next == len(self._files):
            return None
        file = self._files[self._next]
        self._next += 1
        try:
            return read_image(file), file.stem
        except InputError as error:
            raise CorruptFrameError(str(error)) from error

    def close(self) -> None:
        """See `Source`."""
