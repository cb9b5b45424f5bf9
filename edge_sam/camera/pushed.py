"""Frames that a program hands over one by one, as ROS and most camera libraries want it."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import Picture
from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image

_log = logging.getLogger("edge_sam")


class PushedFrames:
    """A live source for `Stream` that frames are pushed into from any thread; the newest one wins.

    Attributes
    ----------
    live : bool
        Until `end`.
    rate : None
        Not known.
    refused : int
        Frames that were none; the stream counts them as corrupt.
    """

    def __init__(self) -> None:
        self.live = True
        self.rate: float | None = None
        self.refused = 0
        self._slot: Slot[Picture] = Slot()
        self._refusing = False

    def push(self, image: NDArray[np.uint8], name: str | None = None) -> None:
        """Hand over a frame.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB. It is not copied: leave it alone afterwards.
        name : str, optional
            Comes back as `StreamFrame.name`; a time stamp, say.

        Raises
        ------
        InputError
            It is something else. The next frame may be fine.
        """
        try:
            if name is not None and not isinstance(name, str):
                raise InputError(f"a frame's name is a text, not {type(name).__name__}")
            picture = (check_image(image), name)
        except InputError as error:
            self.refuse(error)
            raise
        self._refusing = False
        self._slot.put(picture)

    def refuse(self, reason: object) -> None:
        """Count a frame that could not even be made an array, and log why."""
        self.refused += 1
        _log.log(logging.INFO if self._refusing else logging.WARNING, "a frame is corrupt and left out: %s", reason)
        self._refusing = True

    def end(self) -> None:
        """Say that there are no more frames: the stream ends after the last one."""
        self.live = False
        self._slot.close()

    def open(self) -> None:
        """See `Source`."""
        if not self.live:
            raise InputError("these frames have ended")
        self.refused = 0
        before, self._slot = self._slot, Slot()
        waiting = before.take(timeout=0)
        if waiting is not None:
            self._slot.put(waiting)
        before.close()  # The thread of an earlier stream may still wait in it, and would swallow the next frame.

    def read(self) -> Picture | None:
        """Wait for the next frame; None at the end."""
        return self._slot.take()

    def close(self) -> None:
        """See `Source`."""
