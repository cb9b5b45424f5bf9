"""Following objects through a video: `Follower`."""

from edge_sam.following.follower import Follower
from edge_sam.following.tracked import Tracked

__all__ = ["Follower", "Tracked"]
