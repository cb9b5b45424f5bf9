"""Where segmented frames go: a video file, PNG masks, JSON lines."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
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
from edge_sam.video import SUFFIXES, Writer, create_video

_RESERVE = 32 * 2**20
"""Bytes that are left free on the disk: closing a video writes its index, and OpenCV reports no failed write."""
_LOOK_EVERY = 15
"""Frames from one look at the free space to the next."""
_LONGEST_STILL = 1.0
"""Seconds that one frame is repeated for when the next is late."""


_NOT_IN_NAMES = re.compile(r"[/\\%\x00-\x1f\x7f]|^\.")


class Sink(Protocol):
    """Something that frames are written to, by one thread.

    Attributes
    ----------
    name : str
        What statistics and errors call it.
    """

    name: str

    def write(self, frame: StreamFrame) -> None:
        """Take a frame. Raises `OSError` where it cannot be kept; the stream then ends."""

    def close(self) -> None:
        """Finish what was written, also after a failure."""


class VideoSink:
    """Overlays as a video file. It is written beside its place and takes it when it is closed, whole.

    The first frame decides the size; frames of another size are scaled to it.

    Parameters
    ----------
    path : Path
        ``.mp4``, ``.mov``, ``.mkv``, ``.avi`` or ``.webm``; what is there is replaced.
    rate : float
        Frames a second.
    in_time : bool
        Repeat and leave out frames so that the video runs as the source did, although frames were dropped.

    Raises
    ------
    InputError
        Another suffix, or nothing can be written there.
    """

    name = "video"

    def __init__(self, path: Path, rate: float, *, in_time: bool) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"cannot write a video {path.name}; known: {', '.join(SUFFIXES)}")
        check_output_file(path)
        self._path, self._rate, self._in_time = path, rate, in_time
        self._part = part_beside(path, path.suffix)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._writer: Writer | None = None
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
        finally:  # A disk that was full from the start: a film without a picture takes nobody's place.
            self._part.unlink(missing_ok=True)

    def _open(self, frame: StreamFrame) -> Writer:
        self._size = (frame.image.shape[1], frame.image.shape[0])
        self._begin = frame.time
        return create_video(self._part, self._rate, self._size)

    def _times(self, time: float) -> int:
        """How often a frame is written so that the video is in time after it."""
        if not self._in_time:
            return 1
        due = round((time - self._begin) * self._rate) + 1 - self._written
        longest = max(1, round(_LONGEST_STILL * self._rate))
        if due > longest:  # A pause of the source is not shown in full; from here on time counts anew.
            self._begin += (due - longest) / self._rate
        elif due < -longest:  # Somebody put the clock back.
            self._begin += (due - 1) / self._rate
            due = 1
        return min(max(0, due), longest)


class MaskSink:
    """One grey PNG for each frame, named after it.

    One object is 255; of several, the first is 1, the second 2 and so on, and where they overlap the smaller is seen.
    More than 255 need 16 bits a pixel. Slashes, control characters, a dot at the beginning and ``%`` itself are written
    as ``%2F`` and so on in a file's name: it lies in the folder, and no two names become one.

    Parameters
    ----------
    folder : Path
        Made with the first frame where it is missing.

    Raises
    ------
    InputError
        Nothing can be written there.
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
    """One JSON object a line for each frame.

    Parameters
    ----------
    file : TextIO
        Where to, with a file descriptor; it stays open.
    """

    name = "json"

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, frame: StreamFrame) -> None:
        """See `Sink`."""
        self.write_line(to_record(frame))

    def write_line(self, record: dict[str, Any]) -> None:
        """Write anything that JSON can hold, whole or not at all: a line that a file has no room for is taken back."""
        # Past the file's buffer, which would keep what could not be written and try again when Python ends.
        line, file = json.dumps(record, allow_nan=False).encode() + b"\n", self._file.fileno()
        written = 0
        try:
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):  # A pipe keeps what it got.
                os.ftruncate(file, os.lseek(file, -written, os.SEEK_CUR))
            raise OSError(error.errno, error.strerror, self._file.name) from error

    def close(self) -> None:
        """See `Sink`."""


def to_record(frame: StreamFrame) -> dict[str, Any]:
    """Turn a frame into what JSON can hold: masks as compressed COCO RLE, times in milliseconds."""
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
    """Say for each pixel (height, width) whose it is; see `MaskSink`."""
    if len(frame.objects) == 1:
        return frame.objects[0].mask * np.uint8(255)
    height, width = frame.image.shape[:2]
    labels = label_map([tracked.mask for tracked in frame.objects], (height, width))
    return labels if len(frame.objects) > 255 else labels.astype(np.uint8)


def draw_frame(frame: StreamFrame) -> NDArray[np.uint8]:
    """Draw the masks over the frame, and say which objects are lost: BGR, as OpenCV writes and shows it."""
    masks = [tracked.mask for tracked in frame.objects]
    stack = np.stack(masks) if masks else np.zeros((0, *frame.image.shape[:2]), np.bool_)
    picture = np.asarray(cv2.cvtColor(draw_overlay(frame.image, stack), cv2.COLOR_RGB2BGR), dtype=np.uint8)
    lost = [str(i + 1) for i, tracked in enumerate(frame.objects) if tracked.state == "lost"]
    if lost:
        size = max(0.4, max(picture.shape) / 1000)
        for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            origin, thickness = (round(10 * size), round(30 * size)), max(1, round(width * size))
            cv2.putText(picture, f"lost: {', '.join(lost)}", origin, 0, size, colour, thickness, cv2.LINE_AA)
    return picture
