"""Video files: read and written by PyAV where the extra `video` is installed, else by OpenCV.

Everything that reads a video file does so here, so that all agree on what its frames are and how they are counted.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm")
"""Of videos that can be written: MPEG-4 in the first three, then Motion JPEG and VP8."""
EXTRA = 'pip install "edge-sam[video]"'
"""What to do where OpenCV cannot."""
_USUAL_RATES = (1, 240)
"""Frames a second that a file or camera may claim; other numbers mean that it does not know."""
_HOPELESS = 300
"""Damaged frames at the beginning after which a file counts as one that cannot be decoded."""


class Frames(Protocol):
    """What a library makes of an open video file.

    Attributes
    ----------
    rate : float
        Frames a second, 0 where it does not know.
    codec : str
        Its name.
    time : float or None
        Seconds at which the frame that was grabbed is to be shown, where the file says so.
    """

    rate: float
    codec: str
    time: float | None

    def grab(self) -> bool:
        """Decode the next frame; False at the end. Raises `InputError` where it is damaged; the next may be fine."""

    def retrieve(self) -> NDArray[np.uint8]:
        """Give the frame that was grabbed as RGB (height, width, 3), upright. Raises `InputError`."""

    def close(self) -> None:
        """Close the file."""


class Writer(Protocol):
    """A video file that is being written."""

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a frame, BGR (height, width, 3). Raises `OSError` where the library says that it failed."""

    def close(self) -> None:
        """Finish the file; see `write`."""


class VideoFile:
    """A video file, read frame by frame. Damaged frames have no number.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    rate : float or None
        Frames a second on average, where the file says so.

    Raises
    ------
    InputError
        It is no video, or no frame of it can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._damaged: list[InputError] = []
        self._open()
        self.rate = usual_rate(self._frames.rate)

    def read(self) -> NDArray[np.uint8] | None:
        """Give the next frame as RGB (height, width, 3), None at the end.

        Raises
        ------
        InputError
            The frame is damaged. The one after it may be fine.
        """
        if self._damaged:
            raise self._damaged.pop(0)
        return self._frames.retrieve() if self._grab() else None

    @property
    def time(self) -> float | None:
        """Seconds from the first frame to the last one that was read, where the file says so."""
        now = self._frames.time
        return None if now is None or self._begin is None else now - self._begin

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Give a frame by its number from 0. Forwards costs what lies between, backwards everything from the start.

        Raises
        ------
        InputError
            There is no such frame.
        """
        if number < self._next:
            self.close()
            self._open()
        while self._next <= number:
            if not self._skip():
                raise InputError(f"{self._path}: frame {number} cannot be read")
        return self._frames.retrieve()

    def count(self) -> int:
        """Count the frames by going through them to the end: what files say of their length is often wrong."""
        while self._skip():
            pass
        return self._next

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _open(self) -> None:
        """Open the file and decode its first frame, which shows whether the library can."""
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
            raise InputError(f"{self._path} opens as a video, but no frame of it can be decoded ({codec}){hint}")

    def _grab(self) -> bool:
        if not (self._ahead or self._frames.grab()):
            return False
        self._ahead = False
        self._next += 1
        return True

    def _skip(self) -> bool:
        """Go to the next frame that is not damaged; False at the end."""
        while True:
            with contextlib.suppress(InputError):
                return self._grab()


def create_video(path: Path, rate: float, size: tuple[int, int]) -> Writer:
    """Begin a video file.

    Parameters
    ----------
    path : Path
        Of one of `SUFFIXES`.
    rate : float
        Frames a second.
    size : tuple of int
        (width, height) of every frame. OpenCV rounds odd numbers down, which is logged; PyAV keeps them.

    Raises
    ------
    InputError
        OpenCV cannot write frames as small as these.
    OSError
        The file cannot be written.
    """
    if _have_pyav():
        from edge_sam.video.pyav import PyAvWriter

        return PyAvWriter(path, rate, size)
    from edge_sam.video.opencv import OpenCvWriter

    return OpenCvWriter(path, rate, size)


def usual_rate(rate: float) -> float | None:
    """Take a rate for what it is where it is one that videos have."""
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
