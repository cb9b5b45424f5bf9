"""Embeddings of a whole source: a file for each photograph, and an index from which a later run resumes."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

import filelock
import msgspec

from edge_sam.annotate.pipeline import Absent
from edge_sam.annotate.sources import Item, Reader
from edge_sam.bundles.bundle import file_sha256
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError, one_line
from edge_sam.files.arrays import encode_npy
from edge_sam.files.atomic import write_files
from edge_sam.files.names import canonical, natural_key
from edge_sam.files.serialization import from_json, to_json
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor

Format = Literal["npz", "npy"]
"""``npz``: for `ImageEmbedding.load`. ``npy``: float32 (1, 256, 64, 64), as other tools take it."""
_INDEX = "embeddings.jsonl"


class Origin(msgspec.Struct, frozen=True):
    """What an embedding was made from. Equal origins give equal embeddings.

    Attributes
    ----------
    sha256 : str
        Of the photograph's file.
    frame : int or None
        Number of the frame, from 0, if the file is a video.
    model : str
        Identity of the weights: sha256 of their checkpoint.
    precision : str
        Precision of the encoder.
    long_side, square
        How the encoder saw the photograph; see `View`.
    """

    sha256: str
    frame: int | None
    model: str
    precision: str
    long_side: int
    square: bool


class Entry(msgspec.Struct, frozen=True):
    """A line of the index.

    Attributes
    ----------
    image : str
        Name of the photograph.
    width, height : int
        Its size in pixels.
    file : str
        The embedding, below the folder.
    bytes : int
        Size of that file.
    origin : Origin
    """

    image: str
    width: int
    height: int
    file: str
    bytes: int
    origin: Origin


class EncodeReport(msgspec.Struct, frozen=True):
    """The report of a run.

    Attributes
    ----------
    photographs : int
        In the source.
    kept, encoded : int
        Embeddings that were there before and that this run made.
    skipped, failed : list of Absent
        Damaged photographs, and those that could not be read now.
    seconds : float
        Duration of this run.
    output : str
        The folder.
    index : str
        The file that lists the embeddings.
    """

    photographs: int
    kept: int
    encoded: int
    skipped: list[Absent]
    failed: list[Absent]
    seconds: float
    output: str
    index: str


def encode_all(
    items: Sequence[Item],
    predictor: Predictor,
    folder: Path,
    *,
    kind: Format,
    view: View,
    stopped: Callable[[], bool],
    step: Callable[[], None],
) -> EncodeReport:
    """Encode the photographs whose embeddings are not in the folder yet.

    Parameters
    ----------
    items : sequence of Item
        The photographs.
    predictor : Predictor
        The model.
    folder : Path
        Where the embeddings go.
    kind : str
        See `Format`.
    view : View
        How the model sees the photographs.
    stopped : callable
        Returns True to stop early.
    step : callable
        Called after each photograph.

    Raises
    ------
    InputError
        Another run writes into the folder, or ``npy`` cannot hold this model's embeddings.
    OSError
        An embedding cannot be written.
    """
    manifest, contract = predictor.bundle.manifest, predictor.bundle.contract
    if kind == "npy" and contract.high_res:
        raise InputError(f"an embedding of {manifest.name} has several feature maps, which npy cannot hold; write npz")
    square = contract.square if view.square is None else view.square
    start, reader = time.perf_counter(), Reader()
    sha256 = functools.lru_cache(maxsize=1)(file_sha256)  # The frames of a video have one file.
    files = file_names((item.name for item in items), f".{kind}")
    kept = encoded = 0
    skipped, failed = list[Absent](), list[Absent]()
    with _opened(folder, files.values()) as index:
        for item in items:
            if stopped():
                break
            file, model, precision = files[item.name], manifest.source.sha256, predictor.precision
            try:
                origin = Origin(sha256(Path(item.path)), item.frame, model, precision, view.long_side, square)
                pixels = None if index.has(file, origin) else reader.read(item)
            except InputError as error:
                skipped.append(Absent(item.name, one_line(error)))
            except OSError as error:
                failed.append(Absent(item.name, one_line(error)))
            else:
                if pixels is None:
                    kept += 1
                else:
                    index.add(item.name, file, origin, predictor.encode(pixels, **vars(view)))
                    encoded += 1
            step()
    seconds = round(time.perf_counter() - start, 2)
    return EncodeReport(len(items), kept, encoded, skipped, failed, seconds, str(folder), str(folder / _INDEX))


def file_names(names: Iterable[str], suffix: str) -> dict[str, str]:
    """Return a different file for each photograph, by its name.

    ``a/cup.jpg`` becomes ``a/cup.npz``. Photographs that differ in nothing but the suffix keep theirs: ``cup.jpg.npz``
    and ``cup.png.npz``.
    """
    chosen = {name: str(PurePosixPath(name).with_suffix("")) for name in names}
    while True:
        counts = Counter(canonical(stem).casefold() for stem in chosen.values())
        clashes = {name for name, stem in chosen.items() if counts[canonical(stem).casefold()] > 1 and stem != name}
        if not clashes:
            return {name: stem + suffix for name, stem in chosen.items()}
        chosen |= {name: name for name in clashes}


class _Index:
    """The entries of a folder. Each new one is appended to the file at once; `rewrite` puts them in order."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / _INDEX
        self._entries: dict[str, Entry] = {}
        for line in self._path.read_bytes().splitlines() if self._path.is_file() else ():
            with contextlib.suppress(msgspec.DecodeError):  # A killed run leaves half a line; it is encoded again.
                entry: Entry = from_json(line, Entry)
                self._entries[entry.file] = entry

    def has(self, file: str, origin: Origin) -> bool:
        entry = self._entries.get(file)
        return entry is not None and entry.origin == origin and self._is_there(entry)

    def add(self, image: str, file: str, origin: Origin, embedding: ImageEmbedding) -> None:
        path = self._folder / file
        if path.suffix == ".npy":
            write_files({path: encode_npy(embedding.channels_first())})
        else:
            embedding.save(path)
        height, width = embedding.geometry.image_size
        entry = Entry(image, width, height, file, path.stat().st_size, origin)
        with self._path.open("ab") as index:
            index.write(to_json(entry) + b"\n")
        self._entries[file] = entry

    def rewrite(self) -> None:
        present = filter(self._is_there, self._entries.values())
        ordered = sorted(present, key=lambda entry: (natural_key(entry.image), entry.file))
        write_files({self._path: b"".join(to_json(entry) + b"\n" for entry in ordered)})

    def _is_there(self, entry: Entry) -> bool:
        try:
            return (self._folder / entry.file).stat().st_size == entry.bytes
        except (OSError, ValueError):
            return False


@contextmanager
def _opened(folder: Path, files: Iterable[str]) -> Iterator[_Index]:
    """Lock the folder for one run that writes these files, and leave its index in order."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = filelock.FileLock(folder / ".lock").acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"another run writes into {folder}; wait for it, or give another --output") from None
    with held:
        for place in {folder, *((folder / file).parent for file in files)}:
            for unfinished in place.glob(".edge-sam-*.part"):  # Left by a killed run.
                unfinished.unlink(missing_ok=True)
        index = _Index(folder)
        index.rewrite()
        try:
            yield index
        finally:
            index.rewrite()
