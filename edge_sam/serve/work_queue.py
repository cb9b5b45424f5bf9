"""Work that takes long: threads for each kind, a bounded number of requests, a time limit."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from edge_sam.serve.errors import HttpError

_T = TypeVar("_T")
_SMOOTHING = 0.2
"""Weight of the newest request in the mean duration."""


class WorkQueue:
    """Runs jobs of one kind in threads of its own, first come, first served.

    Parameters
    ----------
    name : str
        For messages and metrics.
    limit : int
        Requests that may be at work or waiting.
    seconds : float
        Time limit of a request, waiting included.
    threads : int
        More than one is for jobs that wait for others, not for the processor.

    Attributes
    ----------
    name, limit, seconds
        As above.
    present : int
        Requests at work or waiting.
    """

    def __init__(self, name: str, limit: int, seconds: float, threads: int = 1) -> None:
        self.name, self.limit, self.seconds = name, limit, seconds
        self.present = 0
        self._mean = 0.0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"edge-sam {name}")

    @contextmanager
    def admit(self, request: Request | None = None) -> Iterator[Place]:
        """Take a place in the queue for a request. Its client may go away early if `request` is given.

        Raises
        ------
        HttpError
            Status 429: the queue is full.
        """
        if self.present >= self.limit:
            wait = str(max(1, math.ceil(self.present * self._mean)))
            raise HttpError(
                429, "queue_full", f"{self.present} requests wait to {self.name}; try again", {"Retry-After": wait}
            )
        self.present += 1
        place = Place(self, request)
        try:
            yield place
        finally:
            self.present -= 1
            self._mean += _SMOOTHING * (place.worked - self._mean)

    def submit(self, job: Callable[[], _T]) -> Future[_T]:
        """Run a job in a thread, after those that were submitted before."""
        return self._threads.submit(job)

    def close(self) -> None:
        """Drop the jobs that wait and let the thread end after the one at work."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Place:
    """The place of one request in a `WorkQueue`. A request with several jobs lets others in between them.

    Attributes
    ----------
    worked : float
        Seconds that its jobs took, without waiting.
    """

    def __init__(self, queue: WorkQueue, request: Request | None) -> None:
        self._queue, self._request = queue, request
        self._end = time.monotonic() + queue.seconds
        self.worked = 0.0

    async def run(self, job: Callable[[], _T]) -> _T:
        """Run a job in the queue's thread and wait for its result.

        Raises
        ------
        HttpError
            The request's time is over, or its client went away. A job that had not begun never runs.
        """

        def timed() -> _T:
            start = time.perf_counter()
            try:
                return job()
            finally:
                self.worked += time.perf_counter() - start

        submitted = self._queue.submit(timed)
        work = asyncio.wrap_future(submitted)
        watch = asyncio.ensure_future(_disconnected(self._request)) if self._request is not None else None
        awaited: set[asyncio.Future[object]] = {work, watch} if watch is not None else {work}  # type: ignore[arg-type]
        try:
            left = max(0.0, self._end - time.monotonic())
            await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            gone = watch is not None and watch.done()
        finally:
            if watch is not None:
                watch.cancel()
            submitted.cancel()  # At once; by way of `work` it would be a little later.
            work.cancel()
        if gone:
            raise HttpError(499, "client_gone", "the client went away")
        raise HttpError(504, "timeout", f"this took more than {self._queue.seconds:g} seconds; ask for less at once")


async def _disconnected(request: Request) -> None:
    """Return when the client has gone. Call it after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class ByteBudget:
    """Memory for the bodies of all requests together."""

    def __init__(self, limit: int) -> None:
        self._left, self._lock = limit, threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[Callable[[int], None]]:
        """Lend memory to a request until it ends. Call the result for each part that arrives.

        Raises
        ------
        HttpError
            Status 429: other requests have it all.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            with self._lock:
                if count > self._left:
                    message = "too many uploads at once; try again"
                    raise HttpError(429, "too_many_uploads", message, {"Retry-After": "1"})
                self._left -= count
            taken += count

        try:
            yield take
        finally:
            with self._lock:
                self._left += taken
