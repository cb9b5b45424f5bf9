"""Photographs with their embeddings: in memory, and in a folder that outlives the server."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError, one_line
from edge_sam.files.atomic import write_files

_log = logging.getLogger("edge_sam.serve")
_ID_DIGITS = 32
_EMBEDDING, _PHOTOGRAPH = ".npz", ".photograph"
_MODE = 0o600
"""Only this user may read the files, whatever the mode of a folder that was there before."""
_ABANDONED = 3600
"""Seconds after which a file that is only half written belongs to no living process."""


@dataclass(frozen=True, eq=False)
class ServedImage:
    """A photograph that clients may ask about.

    Attributes
    ----------
    id : str
        See `image_id`.
    photograph : bytes
        The file as it was uploaded.
    embedding : ImageEmbedding
    """

    id: str
    photograph: bytes
    embedding: ImageEmbedding

    @property
    def bytes(self) -> int:
        """Memory that it takes. The embedding keeps a second copy of its features, as the decoder wants them."""
        maps = sum(each.nbytes for each in self.embedding.high_res.values())
        return len(self.photograph) + 2 * self.embedding.features.nbytes + maps


def image_id(photograph: bytes, model: str, precision: str, view: tuple[int, bool]) -> str:
    """Return the id of a photograph for a model and a view, always the same for the same bytes."""
    digest = hashlib.sha256(photograph).hexdigest()
    return hashlib.sha256(repr((1, digest, model, precision, view)).encode()).hexdigest()[:_ID_DIGITS]


class ImageStore:
    """A folder of photographs and embeddings with a largest size. Several servers may share it.

    Parameters
    ----------
    folder : Path
        It is made if needed; only this user may look into it.
    max_bytes : int
        The least recently used go first when all files together are larger.

    Raises
    ------
    OSError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    part.unlink()

    def load(self, id: str) -> ServedImage | None:
        """Return an image, None if it is not there or damaged."""
        embedding, photograph = self._files(id)
        try:
            found = ServedImage(id, photograph.read_bytes(), ImageEmbedding.load(embedding))
            os.utime(embedding)
        except (OSError, InputError):
            return None
        return found

    def touch(self, ids: Iterable[str]) -> None:
        """Note that images were used, the one that was used last at the end."""
        for id in ids:
            now = time.time_ns()  # The system's own stamps are too coarse to tell one from the next.
            with contextlib.suppress(OSError):
                os.utime(self._files(id)[0], ns=(now, now))

    def save(self, image: ServedImage) -> None:
        """Write an image. A failure (disk full, no permission) is logged."""
        embedding, photograph = self._files(image.id)
        try:
            write_files({photograph: image.photograph}, mode=_MODE)
            write_files({embedding: image.embedding.to_bytes()}, mode=_MODE)  # Last: then the image is complete.
            self._shrink()
        except OSError as error:
            _log.warning("cannot keep an image: %s", one_line(error))

    def _files(self, id: str) -> tuple[Path, Path]:
        return self._folder / f"{id}{_EMBEDDING}", self._folder / f"{id}{_PHOTOGRAPH}"

    def _shrink(self) -> None:
        used: dict[str, float] = {}
        sizes: dict[str, int] = {}
        excess = -self._max_bytes
        with os.scandir(self._folder) as entries:
            for entry in entries:
                id, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (a name, not a path)
                if suffix in (_EMBEDDING, _PHOTOGRAPH):
                    status = entry.stat()
                    used[id] = max(used.get(id, 0.0), status.st_mtime)
                    sizes[id] = sizes.get(id, 0) + status.st_size
                elif suffix == ".part":
                    excess += entry.stat().st_size
        excess += sum(sizes.values())
        for id in sorted(used, key=lambda id: used[id]):
            if excess <= 0:
                return
            for file in self._files(id):
                file.unlink(missing_ok=True)
            excess -= sizes[id]


class Images:
    """The photographs that a server knows. Safe to share between threads.

    Parameters
    ----------
    max_bytes : int
        Memory for them; the least recently used go first. The newest always stays.
    store : ImageStore, optional
        Where they outlive the memory.

    Attributes
    ----------
    bytes : int
        Memory in use.
    """

    def __init__(self, max_bytes: int, store: ImageStore | None) -> None:
        self.bytes = 0
        self._max_bytes, self._store = max_bytes, store
        self._kept: OrderedDict[str, ServedImage] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, id: str) -> ServedImage | None:
        """Return an image that is in memory."""
        with self._lock:
            found = self._kept.get(id)
            if found is not None:
                self._kept.move_to_end(id)
        return found

    def find(self, id: str) -> ServedImage | None:
        """Return an image by its id. None: it was never there, or is no longer."""
        found = self.recall(id)
        if found is None and self._store is not None and _is_id(id):
            found = self._store.load(id)
            if found is not None:
                self._keep(found)
        return found

    def add(self, image: ServedImage) -> None:
        """Keep an image."""
        if self._store is not None:
            with self._lock:
                used = list(self._kept)
            self._store.touch(used)  # Before others go: what is found in memory leaves no trace in the folder.
        self._keep(image)
        if self._store is not None:
            self._store.save(image)

    def _keep(self, image: ServedImage) -> None:
        with self._lock:
            former = self._kept.pop(image.id, None)
            self._kept[image.id] = image
            self.bytes += image.bytes - (0 if former is None else former.bytes)
            while self.bytes > self._max_bytes and len(self._kept) > 1:
                self.bytes -= self._kept.popitem(last=False)[1].bytes


def _is_id(text: str) -> bool:
    """Tell whether a text from a client could be an id. Nothing else becomes part of a path."""
    return len(text) == _ID_DIGITS and set(text) <= set("0123456789abcdef")
