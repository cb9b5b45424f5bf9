"""Frames that a program pushes one by one, as with ROS and most camera libraries."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import SourceFrame
from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image

_log = logging.getLogger("edge_sam")


class PushedFrames:
    """A live source for `Stream`. Push frames from any thread; a newer frame replaces one that waits.

    Attributes
    ----------
    live : bool
        True until `end` is called.
    rate : None
        Unknown.
    refused : int
        Frames that were not valid images. The stream counts them as corrupt.
    """

    def __init__(self) -> None:
        self.live = True
        self.rate: float | None = None
        self.refused = 0
        self._slot: Slot[SourceFrame] = Slot()
        self._refusing = False

    def push(self, image: NDArray[np.uint8], name: str | None = None) -> None:
        """Push a frame.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB. It is not copied, so do not change it afterwards.
        name : str, optional
            Returned as `StreamFrame.name`, for example a timestamp.

        Raises
        ------
        InputError
            The frame or its name is invalid. You can go on with the next frame.
        """
        try:
            if name is not None and not isinstance(name, str):
                raise InputError(f"a frame's name must be a str, not {type(name).__name__}")
            picture = (check_image(image), name)
        except InputError as error:
            self.refuse(error)
            raise
        self._refusing = False
        self._slot.put(picture)

    def refuse(self, reason: object) -> None:
        """Count a frame that could not be converted to an array, and log why."""
        self.refused += 1
        _log.log(logging.INFO if self._refusing else logging.WARNING, "skipping a corrupt frame: %s", reason)
        self._refusing = True

    def end(self) -> None:
        """Signal that no more frames follow. The stream ends after the last one."""
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
        before.close()  # An earlier stream's thread may still wait in it and would take the next frame.

    def read(self) -> SourceFrame | None:
        """Wait for the next frame; None at the end."""
        return self._slot.take()

    def close(self) -> None:
        """See `Source`."""
