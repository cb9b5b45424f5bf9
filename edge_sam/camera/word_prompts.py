"""Words that start the tracking of a stream, and find an object again after it was lost."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.camera.stream_tracker import MorePrompts
from edge_sam.everything.suppression import box_ious
from edge_sam.prompts import Prompt
from edge_sam.text import TextSegmenter
from edge_sam.text.tokens import check_phrases
from edge_sam.tracking import Tracked

_SAME = 0.5
"""IoU of two boxes from which they are of one object."""
_REMEMBERED = 64
"""Changes of the objects whose words are remembered, for frames that are still on their way to a sink."""


class WordPrompts:
    """Prompts for `edge_sam.Stream`, and a sink of it: it must be both, to know what was lost.

    Words are looked for in the first frame. Then the tracker follows. While fewer objects of a text are held than were
    found, or none, its words are looked for again, at most once in `every` seconds. The objects that are held go on.

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
        self._wanted = dict.fromkeys(self._text, 1)

    def __call__(self, captured: Captured) -> MorePrompts | None:
        """Return prompts for a frame if words have to be looked for and are found there. None: go on."""
        with self._lock:
            words, seen = self._history[-1][1] if self._history else [], self._seen
        if words and not seen:  # The first answer for the present objects is not there yet.
            return None
        held = {i: box for i, tracked in enumerate(seen) if (box := tracked.box) is not None}
        counts = Counter(words[i] for i in held)
        missing = [text for text in self._text if counts[text] < self._wanted[text]]
        if not missing or (self._looked is not None and captured.clock - self._looked < self._every):
            return None
        self._looked = captured.clock
        boxes = np.array(list(held.values()), np.float64).reshape(-1, 4)
        found = [each for each in self._segmenter.find(captured.image, missing) if not _is_one_of(each.prompt, boxes)]
        if not found:
            return None
        counts.update(each.word for each in found)
        self._wanted |= {text: max(1, counts[text]) for text in missing}
        with self._lock:
            self._history.append((captured.index, [*(words[i] for i in held), *(each.word for each in found)]))
            self._seen = []
        return MorePrompts([each.prompt for each in found], list(held))

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


def _is_one_of(prompt: Prompt, boxes: NDArray[np.float64]) -> bool:
    return prompt.box is not None and bool((box_ious(boxes, prompt.box) >= _SAME).any())
