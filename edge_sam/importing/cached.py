"""Pairs of files that are loaded without a bundle: they are imported into the cache, once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from edge_sam.bundles.bundle import Bundle, file_sha256, open_bundle
from edge_sam.bundles.manifest import MANIFEST
from edge_sam.bundles.zoo import combined_sha256, read_index
from edge_sam.errors import InputError
from edge_sam.files.cache_home import cache_home
from edge_sam.importing.graph_file import files_of
from edge_sam.importing.model_import import import_model

_log = logging.getLogger("edge_sam")


def with_decoder(model: str | Path, decoder: str | Path | None) -> str | Path:
    """Return the model as it is, or the folder of the bundle of a pair of files.

    Parameters
    ----------
    model : str or Path
        The name of a model or a bundle's folder; with a decoder, the file of an encoder.
    decoder : str or Path, optional
        The file of the decoder that belongs to it.

    Raises
    ------
    InputError
        The pair cannot be imported; see `import_model`.
    """
    if decoder is None:
        return model
    for name, value in (("model", model), ("decoder", decoder)):
        if not isinstance(value, str | Path):
            raise InputError(f"{name} must be a path, not {type(value).__name__}")
    if str(model) in read_index() or Path(model).is_dir():
        raise InputError(f"--decoder (decoder=) goes with the file of an encoder; {model} is a whole model without it")
    return imported_pair(Path(model), Path(decoder)).path


def imported_pair(encoder: Path, decoder: Path) -> Bundle:
    """Import a pair of files into the cache, or open the bundle that an earlier call made of the same files."""
    from filelock import FileLock  # A board that runs a bundle does without it.

    digests: dict[str, str] = {}
    for role, path in (("encoder", encoder), ("decoder", decoder)):
        digests |= {f"{role} {number}": file_sha256(file) for number, file in enumerate(files_of(path))}
    folder = _home() / combined_sha256(digests)[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / MANIFEST).is_file():
            with contextlib.suppress(InputError):  # Of another version, or damaged: made again.
                return open_bundle(folder)
        _log.warning("checking %s and %s on a drawn scene, as is done once for each pair", encoder.name, decoder.name)
        return import_model(encoder, decoder, folder, overwrite=True).bundle


def imported_bundles() -> Iterator[Bundle]:
    """Yield the bundles that `imported_pair` made."""
    for path in sorted(_home().glob(f"*/{MANIFEST}")):
        with contextlib.suppress(InputError):  # Of another version, or damaged.
            yield open_bundle(path.parent)


def _home() -> Path:
    return cache_home() / "imported"
