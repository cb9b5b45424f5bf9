"""What FFmpeg may open: containers and protocols by list, so that a playlist cannot name other files or hosts."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping

CONTAINERS = (
    "apng,asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,rm,vc1"
    ",wtv,yuv4mpegpipe"
)
"""Containers that hold their frames themselves. Playlists such as concat, hls and dash read other files."""
_STREAMED = f"{CONTAINERS},jpeg_pipe,live_flv,mpjpeg,png_pipe,rtp,rtsp"
_RENDITIONS = "aac,ac3,eac3,mp3,webvtt"
"""Sound and subtitles beside the video of a playlist."""
_PROTOCOLS = {
    "http": "http,https,httpproxy,tcp,tls",
    "https": "https,httpproxy,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
    "rtp": "rtp,udp",
    "rtsp": "http,rtp,rtsp,tcp,udp",
    "rtsps": "rtp,rtsps,srtp,tcp,tls,udp",
    "srt": "srt",
    "tcp": "tcp",
    "udp": "udp",
}
"""Protocols of FFmpeg that an address may use, by its scheme. HTTP servers may redirect to other HTTP servers."""
SCHEMES = tuple(_PROTOCOLS)
_PLAYLIST = ".m3u8"
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_OPENING = threading.Lock()
"""Held while the variable is set, which affects the whole process. OpenCV opens one source at a time anyway: it has a
lock of its own for that (docs/lab/camera.md)."""


def file_options() -> dict[str, str]:
    """Return FFmpeg's options for a video file: it reads that file and no other."""
    return {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}


def stream_options(address: str) -> dict[str, str]:
    """Return FFmpeg's options for an address with one of `SCHEMES`.

    Only an address that names a playlist (``.m3u8``) may lead to further addresses.
    """
    scheme, _, rest = address.partition("://")
    path = rest.partition("?")[0].partition("#")[0]
    playlist = path.lower().endswith(_PLAYLIST)
    return {
        "rtsp_transport": "tcp",  # OpenCV's own choice if the variable is not set.
        "format_whitelist": _STREAMED + (f",hls,{_RENDITIONS}" if playlist else ""),
        "protocol_whitelist": _PROTOCOLS[scheme.lower()] + (",crypto" if playlist else ""),
    }


@contextlib.contextmanager
def opencv_options(options: Mapping[str, str]) -> Iterator[None]:
    """Pass options to the FFmpeg of OpenCV, which takes them from an environment variable only. The user's own win.

    A user who sets ``protocol_whitelist`` there also decides on the containers.
    """
    with _OPENING:
        given = os.environ.get(_VARIABLE)
        own = {pair.partition(";")[0] for pair in (given or "").split("|")}
        if "protocol_whitelist" in own:  # The user says what may be opened.
            own.add("format_whitelist")
        added = [f"{name};{value}" for name, value in options.items() if name not in own]
        if added:
            os.environ[_VARIABLE] = "|".join([*([given] if given else []), *added])
        try:
            yield
        finally:
            if given is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = given
