"""Tracking objects through a video: `Tracker`."""

from edge_sam.tracking.tracked import Tracked
from edge_sam.tracking.tracker import Tracker

__all__ = ["Tracked", "Tracker"]
