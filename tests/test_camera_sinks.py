"""What sinks write, without a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from streams import read_video

from edge_sam.camera.frames import StreamFrame
from edge_sam.camera.sinks import VideoSink, draw_frame
from edge_sam.tracking import Tracked


def test_a_video_goes_on_when_the_clock_is_put_back(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi", 10, in_time=True)
    for moment in (5000.0, 5000.1, 1400.0, 1400.1, 1400.2):
        image = np.full((64, 96, 3), 50, np.uint8)
        sink.write(StreamFrame(image, [], 0, "", moment, False, 256, 0.0, {}))
    sink.close()
    assert len(read_video(tmp_path / "out.avi")) == 5


def test_a_video_in_time_repeats_and_leaves_out(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "new" / "out.avi", 10, in_time=True)
    for moment in (0.0, 0.02, 0.3, 0.4, 100.0, 100.1):
        image = np.full((64, 96 if moment < 0.35 else 48, 3), 50, np.uint8)
        sink.write(StreamFrame(image, [], 0, "", moment, False, 256, 0.0, {}))
    sink.close()
    # 0.0, then 0.3 for three tenths, 0.4, a pause cut short to a second, 100.1.
    frames = read_video(tmp_path / "new" / "out.avi")
    assert len(frames) == 1 + 3 + 1 + 10 + 1
    assert {frame.shape for frame in frames} == {(64, 96, 3)}


def test_the_overlay_says_what_is_lost() -> None:
    image, nothing = np.full((96, 160, 3), 90, np.uint8), np.zeros((96, 160), np.bool_)
    pictures = [
        draw_frame(StreamFrame(image, [Tracked(state, nothing, None, 0.0)], 0, "", 0.0, True, 256, 0.0, {}))
        for state in ("carried", "lost")
    ]
    assert (pictures[0] == 90).all()
    assert (pictures[1] != 90).any()
