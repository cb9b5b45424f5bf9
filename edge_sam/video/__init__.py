"""Video files, read and written by PyAV if the extra `video` is installed, else by OpenCV.

All reading of video files goes through this package, so that the frames and their numbers always agree.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm")
"""Suffixes of videos to write: MPEG-4 for the first three, then Motion JPEG and VP8."""
EXTRA = 'pip install "edge-sam[video]"'
"""The remedy if OpenCV cannot read or write a video."""
_USUAL_RATES = (1, 240)
"""Plausible frames per second. Files and cameras report other numbers if they do not know their rate."""
_HOPELESS = 300
"""Damaged frames at the start after which a file counts as undecodable."""


class Frames(Protocol):
    """The frames of an open video file, as a library decodes them.

    Attributes
    ----------
    rate : float
        Frames per second. 0 if unknown.
    codec : str
        Its name.
    time : float or None
        Timestamp of the grabbed frame in seconds, if the file has one.
    """

    rate: float
    codec: str
    time: float | None

    def grab(self) -> bool:
        """Decode the next frame. False at the end. Raises `InputError` if it is damaged; the next one may be fine."""

    def retrieve(self) -> NDArray[np.uint8]:
        """Return the grabbed frame as RGB (height, width, 3), upright. Raises `InputError`."""

    def close(self) -> None:
        """Close the file."""


class VideoWriter(Protocol):
    """A video file to write."""

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a frame, BGR (height, width, 3). Raises `OSError` if the library reports a failure."""

    def close(self) -> None:
        """Finish the file; see `write`."""


class VideoFile:
    """A video file, read frame by frame. Damaged frames are not numbered.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    rate : float or None
        Average frames per second. None if unknown.

    Raises
    ------
    InputError
        The file is not a video, or none of its frames can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._damaged: list[InputError] = []
        self._open()
        self.rate = usual_rate(self._frames.rate)

    def read(self) -> NDArray[np.uint8] | None:
        """Return the next frame as RGB (height, width, 3), None at the end.

        Raises
        ------
        InputError
            The frame is damaged. The next one may be fine.
        """
        if self._damaged:
            raise self._damaged.pop(0)
        return self._frames.retrieve() if self._grab() else None

    @property
    def time(self) -> float | None:
        """Seconds from the first frame to the last frame read. None if the file has no timestamps."""
        now = self._frames.time
        return None if now is None or self._begin is None else now - self._begin

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Return a frame by its number, from 0. Going back decodes again from the start.

        Raises
        ------
        InputError
            The frame does not exist.
        """
        if number < self._next:
            self.close()
            self._open()
        while self._next <= number:
            if not self._skip():
                raise InputError(f"{self._path}: frame {number} cannot be read")
        return self._frames.retrieve()

    def count(self) -> int:
        """Count the frames by decoding to the end, because the lengths that files report are often wrong."""
        while self._skip():
            pass
        return self._next

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _open(self) -> None:
        """Open the file and decode its first frame, to check that the library can."""
        self._next, self._ahead = 0, False
        self._frames = _open_frames(self._path)
        for _ in range(_HOPELESS):
            try:
                self._ahead = self._frames.grab()
                break
            except InputError as error:
                self._damaged.append(error)
        self._begin = self._frames.time
        if not self._ahead:
            codec = self._frames.codec
            self.close()
            hint = "" if _have_pyav() else f"; this OpenCV may not know its codec: {EXTRA}"
            raise InputError(f"{self._path} opens as a video, but none of its frames can be decoded ({codec}){hint}")

    def _grab(self) -> bool:
        if not (self._ahead or self._frames.grab()):
            return False
        self._ahead = False
        self._next += 1
        return True

    def _skip(self) -> bool:
        """Go to the next undamaged frame. False at the end."""
        while True:
            with contextlib.suppress(InputError):
                return self._grab()


def create_video(path: Path, rate: float, size: tuple[int, int]) -> VideoWriter:
    """Create a video file.

    Parameters
    ----------
    path : Path
        With one of `SUFFIXES`.
    rate : float
        Frames per second.
    size : tuple of int
        (width, height) of all frames. OpenCV rounds odd numbers down, with a warning. PyAV keeps them.

    Raises
    ------
    InputError
        The frames are too small for OpenCV.
    OSError
        The file cannot be written.
    """
    if _have_pyav():
        from edge_sam.video.pyav import PyAvWriter

        return PyAvWriter(path, rate, size)
    from edge_sam.video.opencv import OpenCvWriter

    return OpenCvWriter(path, rate, size)


def usual_rate(rate: float) -> float | None:
    """Return a reported rate if it is plausible, else None."""
    return rate if _USUAL_RATES[0] <= rate <= _USUAL_RATES[1] else None


def _open_frames(path: Path) -> Frames:
    if _have_pyav():
        from edge_sam.video.pyav import PyAvFrames

        return PyAvFrames(path)
    from edge_sam.video.opencv import OpenCvFrames

    return OpenCvFrames(path)


def _have_pyav() -> bool:
    try:
        import av
    except ImportError:
        return False
    return hasattr(av.VideoFrame, "rotation")  # From version 15 on.
