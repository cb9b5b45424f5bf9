"""Words that start the tracking of a stream, and find an object again after it was lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.prompts import Prompt
from edge_sam.text import TextSegmenter
from edge_sam.text.tokens import check_phrases
from edge_sam.tracking import Tracked

_REMEMBERED = 64
"""Changes of the objects whose words are remembered, for frames that are still on their way to a sink."""


class WordPrompts:
    """Prompts for `edge_sam.Stream`, and a sink of it: it must be both, to know what was lost.

    Words are looked for in the first frame. Then the tracker follows. While a text has no object that is held, the
    words are looked for again, at most once in `every` seconds.

    Parameters
    ----------
    segmenter : TextSegmenter
        What finds words.
    text : str or sequence of str
        What to find.
    every : float
        Seconds between two searches. A search takes as long as the matcher, and frames are dropped meanwhile.
    """

    name = "words"

    def __init__(self, segmenter: TextSegmenter, text: str | Sequence[str], every: float = 1.0) -> None:
        self._segmenter, self._text, self._every = segmenter, check_phrases(text), every
        self._lock = threading.Lock()
        self._history: deque[tuple[int, list[str]]] = deque(maxlen=_REMEMBERED)
        self._seen: list[Tracked] = []
        self._looked: float | None = None

    def __call__(self, captured: Captured) -> list[Prompt] | None:
        """Return prompts for a frame if words have to be looked for and are found there. None: go on."""
        with self._lock:
            words = self._history[-1][1] if self._history else []
            seen = list(zip(words, self._seen, strict=False)) if self._seen else [(word, None) for word in words]
        kept = [(word, tracked) for word, tracked in seen if tracked is None or tracked.box is not None]
        missing = [text for text in self._text if text not in {word for word, _ in kept}]
        if not missing or (self._looked is not None and captured.clock - self._looked < self._every):
            return None
        if any(tracked is None for _, tracked in kept):  # The first answer for the present objects is not there yet.
            return None
        self._looked = captured.clock
        found = self._segmenter.find(captured.image, missing)
        if not found:
            return None
        prompts = [Prompt(box=tracked.box) for _, tracked in kept if tracked is not None]
        with self._lock:
            self._history.append((captured.index, [*(word for word, _ in kept), *(each.word for each in found)]))
            self._seen = []
        return [*prompts, *(each.prompt for each in found)]

    def write(self, frame: StreamFrame) -> None:
        """See `Sink`: remember which objects are held."""
        with self._lock:
            if self._history and frame.index >= self._history[-1][0]:
                self._seen = frame.objects

    def close(self) -> None:
        """See `Sink`."""

    def words_of(self, frame: StreamFrame) -> list[str]:
        """Return the text of each object of a frame."""
        with self._lock:
            return next((words for index, words in reversed(self._history) if index <= frame.index), [])
