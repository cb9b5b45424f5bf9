"""Where frames come from: cameras, files, folders, network streams, GStreamer pipelines."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.addresses import hide_passwords
from edge_sam.errors import EdgeSamError, InputError
from edge_sam.imaging.images import pictures, read_image
from edge_sam.video import VideoFile, usual_rate
from edge_sam.video.opencv import open_capture, to_rgb

Picture = tuple[NDArray[np.uint8], str | None]
"""RGB of 8 bits (height, width, 3), and the frame's name where it has one."""


class SourceLostError(EdgeSamError):
    """A source gave frames and does so no more, and could not be opened again."""


class CorruptFrameError(EdgeSamError):
    """One frame cannot be read; the next one may."""


class Source(Protocol):
    """What frames are read from, by one thread at a time. It can be opened again after it was closed.

    Attributes
    ----------
    live : bool
        It goes on without end, so an end is a failure, and a frame not fetched in time is lost.
    rate : float or None
        Frames a second, once it is open; None where that is not known.
    """

    live: bool
    rate: float | None

    def open(self) -> None:
        """Connect. Raises `InputError` where that is not possible."""

    def read(self) -> Picture | None:
        """Give the next frame, None at the end. Raises `CorruptFrameError` or `InputError` where one cannot be used."""

    def close(self) -> None:
        """Let go of the device, file or connection."""


def find_source(given: str | int | Path | Source, timeout: float = 5.0) -> Source:
    """Find out what kind of source is meant. Nothing is opened.

    Parameters
    ----------
    given : str, int, Path or Source
        A camera's number or device (``0``, ``/dev/video0``), a video file, a folder of frames, an address
        (``rtsp://…``, ``http://…``) or a GStreamer pipeline (elements with `` ! `` between). A `Source` is taken as
        it is.
    timeout : float
        Seconds after which an address that does not answer counts as lost.

    Raises
    ------
    InputError
        No such camera, file or folder; a folder without pictures; a pipeline without GStreamer.
    """
    if not isinstance(given, str | int | Path):
        return given
    name = str(given)
    if " ! " in name:
        if "GStreamer: YES" not in re.sub(r" +", " ", cv2.getBuildInformation()):
            raise InputError("this OpenCV is built without GStreamer (pip's are); use the OpenCV of JetPack or Debian")
        return VideoSource(name, cv2.CAP_GSTREAMER, timeout=timeout)
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://.*", name, re.IGNORECASE):
        return VideoSource(name, cv2.CAP_FFMPEG, timeout=timeout)
    if name.isdecimal() and not Path(name).exists():
        if not Path(f"/dev/video{name}").exists() and Path("/dev").is_dir():
            raise InputError(f"there is no camera {name}; there are: {_cameras()}")
        return VideoSource(int(name), cv2.CAP_ANY)
    path = Path(name)
    if path.is_dir():
        return FolderSource(path)
    if path.is_char_device():
        return VideoSource(name, cv2.CAP_V4L2)
    if not path.exists():
        hint = f"; cameras: {_cameras()}" if name.startswith("/dev/") else ""
        raise InputError(f"there is no video, folder or camera {hide_passwords(name)}{hint}")
    return FileSource(path)


def _cameras() -> str:
    return ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"


class VideoSource:
    """A camera, network stream or pipeline, which OpenCV's `VideoCapture` opens.

    Parameters
    ----------
    target : str or int
        Device, address, pipeline or number.
    backend : int
        OpenCV's number of the library that opens it.
    timeout : float, optional
        Seconds to wait for an answer, where the library can be told.

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
        capture = open_capture(self._target, failure, self._backend, parameters)
        if isinstance(self._target, int) or self._backend == cv2.CAP_V4L2:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # The driver keeps old frames else.
        self.rate = usual_rate(capture.get(cv2.CAP_PROP_FPS))
        if self._backend == cv2.CAP_FFMPEG and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            self.live = False
        self._capture = capture

    def read(self) -> Picture | None:
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
        Seconds from the first frame to the last one that was read, where the file says so.
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

    def read(self) -> Picture | None:
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
    """Pictures of a folder in natural order: ``2.png`` before ``10.png``.

    Parameters
    ----------
    folder : Path
        Where they lie.

    Raises
    ------
    InputError
        There are none, or two that differ in their suffix alone: their masks would have one name.
    """

    def __init__(self, folder: Path) -> None:
        self.live = False
        self.rate: float | None = None
        self._files = pictures(folder)
        if not self._files:
            raise InputError(f"there is no picture in {folder}")
        for one, other in itertools.pairwise(sorted(self._files, key=lambda file: file.stem)):
            if one.stem == other.stem:
                raise InputError(f"{one.name} and {other.name} in {folder} are one frame's name; rename one of them")
        self._next = 0

    def open(self) -> None:
        """See `Source`."""
        self._next = 0

    def read(self) -> Picture | None:
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
