"""Frames that a program hands over one by one, as ROS and most camera libraries want it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import Picture
from edge_sam.errors import InputError
from edge_sam.preprocess import check_image


class PushedFrames:
    """A live source for `Stream` that frames are pushed into from any thread; the newest one wins.

    Attributes
    ----------
    live : bool
        Until `end`.
    rate : None
        Not known.
    """

    def __init__(self) -> None:
        self.live = True
        self.rate: float | None = None
        self._slot: Slot[Picture] = Slot()

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
            It is something else.
        """
        self._slot.put((check_image(image), name))

    def end(self) -> None:
        """Say that there are no more frames: the stream ends after the last one."""
        self.live = False
        self._slot.close()

    def open(self) -> None:
        """See `Source`."""
        if not self.live:
            raise InputError("these frames have ended")
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
