"""Live tracking on cameras, videos and network streams: `Stream`."""

from edge_sam.camera.frames import StreamFrame
from edge_sam.camera.pushed import PushedFrames
from edge_sam.camera.stream import Stream

__all__ = ["PushedFrames", "Stream", "StreamFrame"]
