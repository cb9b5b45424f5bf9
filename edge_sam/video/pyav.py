"""Video files through PyAV, the Python binding of FFmpeg."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from edge_sam.errors import InputError, one_line
from edge_sam.video.ffmpeg import file_options

_CODECS = {".avi": ("mjpeg", "yuvj420p", 2.2), ".webm": ("libvpx", "yuv420p", 1.5)}
_USUAL = ("mpeg4", "yuv420p", 1.5)
"""Codec, pixel format and bits per pixel, as in OpenCV. H.264 takes three times as long and needs even sizes."""
_OPTIONS = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}}
_LEAST_BITS = 100_000
"""Lowest bit rate, per second. VP8 drops frames at lower rates."""
_LARGEST_BASE = 65535
"""Largest denominator of MPEG-4's time base."""


class PyAvFrames:
    """See `edge_sam.video.Frames`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._container = av.open(path.absolute(), options=file_options())
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            reason = _reason(error)
            if not isinstance(error, OSError):
                reason = f"PyAV cannot read it as a video ({reason})"
            raise InputError(f"cannot open {path}: {reason}") from error
        self._stream.thread_type = "AUTO"
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        if self._stream.codec_context is None:
            raise InputError(f"{path} opens as a video, but this FFmpeg has no decoder for it")
        self.codec = self._stream.codec_context.name
        self.time: float | None = None
        self._packets: Iterator[av.Packet[Any]] = self._container.demux(self._stream)
        self._decoded: deque[VideoFrame] = deque()

    def grab(self) -> bool:
        """See `Frames`."""
        while not self._decoded:
            try:
                packet = next(self._packets, None)
                if packet is None:
                    return False
                self._decoded.extend(packet.decode())
            except av.EOFError:
                return False
            except (av.FFmpegError, ValueError) as error:
                raise InputError(f"{self._path}: {_reason(error)}") from error
        self._frame = self._decoded.popleft()
        self.time = self._frame.time
        return True

    def retrieve(self) -> NDArray[np.uint8]:
        """See `Frames`."""
        try:
            pixels = self._frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"{self._path}: {_reason(error)}") from error
        turned = np.rot90(pixels, round(self._frame.rotation / 90))
        return np.ascontiguousarray(turned, dtype=np.uint8)

    def close(self) -> None:
        """See `Frames`."""
        self._container.close()


class PyAvWriter:
    """See `edge_sam.video.VideoWriter`."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        codec, pixels, bits = _CODECS.get(path.suffix.lower(), _USUAL)
        parts = min(1001, max(1, int(_LARGEST_BASE / (rate + 1))))
        self._path, self._next = path, 0
        with _failures_as_os_errors(path):
            self._container = av.open(path.absolute(), "w")
            exact = Fraction(rate).limit_denominator(parts)
            added = self._container.add_stream(codec, rate=exact, options=_OPTIONS.get(codec, {}))
        self._stream = cast(VideoStream, added)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = pixels
        self._stream.bit_rate = max(_LEAST_BITS, round(bits * rate * size[0] * size[1]))

    def write(self, picture: NDArray[np.uint8]) -> None:
        """See `VideoWriter`."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
        frame.pts, self._next = self._next, self._next + 1
        with _failures_as_os_errors(self._path):
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """See `VideoWriter`."""
        with _failures_as_os_errors(self._path):
            try:
                if self._next:
                    self._container.mux(self._stream.encode())
            finally:
                self._container.close()


@contextlib.contextmanager
def _failures_as_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, _reason(error), str(path)) from error


def _reason(error: BaseException) -> str:
    """Return the reason of an error without the file's name."""
    return getattr(error, "strerror", None) or one_line(error)
