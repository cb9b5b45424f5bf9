"""Run the server until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_sam.errors import EdgeSamError, InputError, one_line
from edge_sam.files.cache_home import cache_home
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.serve.access import Access
from edge_sam.serve.app import make_app
from edge_sam.serve.images import ImageStore
from edge_sam.serve.logs import LOGGER, start_log
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.settings import ServeSettings
from edge_sam.system.signals import stop_on_signal
from edge_sam.text import TextSegmenter

_BACKLOG = 128
_HEADER_SECONDS = 15.0
"""Time for a connection to send the header of a request; else idle connections could take every place."""


class _Connection(H11Protocol):
    """Uvicorn's connection, which also ends if no complete header comes."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._limit_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_limit()
        super().connection_lost(exc)

    def _limit_header(self) -> None:
        """Set the limit while a header is due, and drop it once that is complete."""
        if self.conn.their_state is not h11.IDLE:
            self._drop_limit()
        elif self._limit is None:
            self._limit = self.loop.call_later(_HEADER_SECONDS, self._end)

    def _drop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _end(self) -> None:
        LOGGER.info("closed a connection that sent no complete header in %g seconds", _HEADER_SECONDS)
        self.transport.close()


class _Server(uvicorn.Server):
    """Uvicorn that tells when it listens, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    predictor: Predictor,
    settings: ServeSettings,
    view: View,
    listening: Callable[[str], None],
    text: TextSegmenter | None = None,
) -> None:
    """Answer requests until Ctrl-C or SIGTERM, then finish those at work. A second signal ends at once.

    Parameters
    ----------
    predictor : Predictor
        The model that answers.
    settings : ServeSettings
    view : View
        How photographs are encoded unless a client says otherwise.
    listening : callable
        Called with the server's address when it listens.
    text : TextSegmenter, optional
        What finds words, for requests with text.

    Raises
    ------
    InputError
        A setting is impossible.
    EdgeSamError
        The address cannot be listened on.
    """
    access = Access(settings)
    segmenter = Segmenter(predictor, settings, view, _open_store(settings), text)
    app = make_app(segmenter, access)
    with listen(settings.host, settings.port) as opened:
        start_log(settings.log_format)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http=_Connection,
            ws="none",
            lifespan="off",
            limit_concurrency=settings.max_connections,
            timeout_graceful_shutdown=max(1, round(settings.stop_timeout)),
        )
        server = _Server(config, lambda: listening(_address(opened)))

        def stop() -> None:
            server.should_exit = True

        with stop_on_signal(stop):
            if not _is_loopback(opened) and access.key is None:
                LOGGER.warning("other machines can reach this server and it has no API key; set EDGE_SAM_API_KEY")
            server.run(sockets=[opened])
        segmenter.close()


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens. Raises `EdgeSamError` if the address is unknown, in use or not allowed."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Else the kernel keeps the last part of an answer back for 40 ms. asyncio sets it only on sockets that name
        # their protocol, which those of `create_server` do not. Connections inherit it.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    except socket.gaierror as error:
        raise InputError(f"--host {host}: no such address here: {error.strerror}") from error
    except (OSError, UnicodeError) as error:
        raise EdgeSamError(f"cannot listen on {host} port {port}: {one_line(error)}; give another --port") from error


def _address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(opened: socket.socket) -> bool:
    host = str(opened.getsockname()[0])
    return host.startswith("127.") or host == "::1"


def _open_store(settings: ServeSettings) -> ImageStore | None:
    if settings.no_store:
        if settings.store is not None:
            raise InputError("--store keeps photographs in a folder, --no-store in memory only; give one of them")
        return None
    folder = settings.store or Path(cache_home(), "served")
    try:
        return ImageStore(folder, settings.store_mb * 10**6)
    except OSError as error:
        raise InputError(
            f"cannot keep photographs in {folder}: {one_line(error)}; give --store or --no-store"
        ) from error
