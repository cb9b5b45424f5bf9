"""Sinks for segmented frames: a video file, PNG masks, JSON lines."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.frames import StreamFrame
from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_file, check_output_folder, move_into_place, part_beside, write_files
from edge_sam.imaging.images import encode_png
from edge_sam.imaging.masks import encode_rle, label_map
from edge_sam.overlay import draw_overlay
from edge_sam.video import SUFFIXES, VideoWriter, create_video

_RESERVE = 32 * 2**20
"""Bytes to leave free on the disk. Closing a video writes its index, and OpenCV does not report failed writes."""
_LOOK_EVERY = 15
"""Frames between two checks of the free space."""
_LONGEST_STILL = 1.0
"""Longest time in seconds to repeat a frame when the next one is late."""
_NOT_IN_NAMES = re.compile(r"[/\\%\x00-\x1f\x7f]|^\.")


class Sink(Protocol):
    """A sink for frames. One thread uses it.

    Attributes
    ----------
    name : str
        Its name in statistics and errors.
    """

    name: str

    def write(self, frame: StreamFrame) -> None:
        """Write a frame. Raises `OSError` if that fails, which ends the stream."""

    def close(self) -> None:
        """Finish the output, even after a failure."""


class VideoSink:
    """Writes overlays to a video file. The file appears at its path when it is complete.

    The first frame sets the size. Frames of another size are scaled to it.

    Parameters
    ----------
    path : Path
        ``.mp4``, ``.mov``, ``.mkv``, ``.avi`` or ``.webm``. An existing file is replaced.
    rate : float
        Frames per second.
    in_time : bool
        Repeat and drop frames to keep the source's timing, although the stream drops frames.

    Raises
    ------
    InputError
        Another suffix, or the file cannot be written there.
    """

    name = "video"

    def __init__(self, path: Path, rate: float, *, in_time: bool) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"cannot write a video {path.name}; known: {', '.join(SUFFIXES)}")
        check_output_file(path)
        self._path, self._rate, self._in_time = path, rate, in_time
        self._part = part_beside(path, path.suffix)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._writer: VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._begin = 0.0

    def write(self, frame: StreamFrame) -> None:
        """See `Sink`."""
        if self._writer is None:
            self._writer = self._open(frame)
        if self._written % _LOOK_EVERY == 0 and shutil.disk_usage(self._part.parent).free < _RESERVE:
            raise OSError(
                errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (less than {_RESERVE >> 20} MB left)", str(self._path)
            )
        times = self._times(frame.time)
        if not times:
            return
        picture = draw_frame(frame)
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for _ in range(times):
            self._writer.write(picture)
        self._written += times

    def close(self) -> None:
        """See `Sink`."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.close()
            if self._written:
                move_into_place(self._part, self._path)
        finally:  # If the disk was full from the start, an empty video must not replace a file.
            self._part.unlink(missing_ok=True)

    def _open(self, frame: StreamFrame) -> VideoWriter:
        self._size = (frame.image.shape[1], frame.image.shape[0])
        self._begin = frame.time
        return create_video(self._part, self._rate, self._size)

    def _times(self, time: float) -> int:
        """Return how many times to write a frame to keep the source's timing."""
        if not self._in_time:
            return 1
        due = round((time - self._begin) * self._rate) + 1 - self._written
        longest = max(1, round(_LONGEST_STILL * self._rate))
        if due > longest:  # Shorten a pause of the source.
            self._begin += (due - longest) / self._rate
        elif due < -longest:  # The system clock was set back.
            self._begin += (due - 1) / self._rate
            due = 1
        return min(max(0, due), longest)


class MaskSink:
    """Writes one grey PNG per frame, named after the frame.

    A single object has the value 255. Several objects have the values 1, 2 and so on; where they overlap, the smaller
    one is seen. More than 255 objects need 16 bits per pixel. In file names, slashes, control characters, a leading dot
    and ``%`` are escaped (``%2F``), so that each file lies in the folder and names stay distinct.

    Parameters
    ----------
    folder : Path
        Created with the first frame.

    Raises
    ------
    InputError
        The folder cannot be written.
    """

    name = "masks"

    def __init__(self, folder: Path) -> None:
        check_output_folder(folder)
        self._folder = folder

    def write(self, frame: StreamFrame) -> None:
        """See `Sink`."""
        name = _NOT_IN_NAMES.sub(lambda found: f"%{ord(found[0]):02X}", frame.name)
        write_files({self._folder / f"{name}.png": encode_png(frame_labels(frame))})

    def close(self) -> None:
        """See `Sink`."""


class JsonSink:
    """Writes one JSON line per frame.

    Parameters
    ----------
    file : TextIO
        A file with a file descriptor. It stays open.
    words_of : callable, optional
        Returns the text of each object of a frame, which is written as its ``text``.
    """

    name = "json"

    def __init__(self, file: TextIO, words_of: Callable[[StreamFrame], Sequence[str]] = lambda _: ()) -> None:
        self._file, self._words_of = file, words_of

    def write(self, frame: StreamFrame) -> None:
        """See `Sink`."""
        record = to_record(frame)
        for entry, text in zip(record["objects"], self._words_of(frame), strict=False):
            entry["text"] = text
        self.write_line(record)

    def write_line(self, record: dict[str, Any]) -> None:
        """Write any JSON object as a line. If the disk is full, the partial line is removed."""
        # Bypass the file's buffer: it would keep a failed write and retry it when Python exits.
        line, file = json.dumps(record, allow_nan=False).encode() + b"\n", self._file.fileno()
        written = 0
        try:
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):  # A pipe cannot be truncated.
                os.ftruncate(file, os.lseek(file, -written, os.SEEK_CUR))
            raise OSError(error.errno, error.strerror, self._file.name) from error

    def close(self) -> None:
        """See `Sink`."""


def to_record(frame: StreamFrame) -> dict[str, Any]:
    """Convert a frame to a form that JSON can hold: masks as compressed COCO RLE, durations in milliseconds."""
    return {
        "frame": frame.index,
        "name": frame.name,
        "time": round(frame.time, 6),
        "width": frame.image.shape[1],
        "height": frame.image.shape[0],
        "long_side": frame.long_side,
        "encoded": frame.encoded,
        "latency_ms": round(frame.latency_ms, 2),
        "timings_ms": {stage: round(milliseconds, 2) for stage, milliseconds in frame.timings.items()},
        "objects": [
            {
                "state": tracked.state,
                "score": round(tracked.score, 4),
                "box": None if tracked.box is None else tracked.box.tolist(),
                "rle": encode_rle(tracked.mask),
            }
            for tracked in frame.objects
        ],
    }


def frame_labels(frame: StreamFrame) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the object number of each pixel, (height, width); see `MaskSink`."""
    if len(frame.objects) == 1:
        return frame.objects[0].mask * np.uint8(255)
    height, width = frame.image.shape[:2]
    labels = label_map([tracked.mask for tracked in frame.objects], (height, width))
    return labels if len(frame.objects) > 255 else labels.astype(np.uint8)


def draw_frame(frame: StreamFrame) -> NDArray[np.uint8]:
    """Draw the masks over the frame and list the lost objects. Returns BGR, as OpenCV writes and shows it."""
    masks = [tracked.mask for tracked in frame.objects]
    stack = np.stack(masks) if masks else np.zeros((0, *frame.image.shape[:2]), np.bool_)
    lost = ", ".join(str(i) for i, tracked in enumerate(frame.objects, start=1) if tracked.state == "lost")
    picture = draw_overlay(frame.image, stack, caption=f"lost: {lost}" if lost else "")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), dtype=np.uint8)
