"""Export a model of the zoo into the cache, where its name finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from edge_sam.bundles.bundle import Bundle, cached_bundle, open_bundle
from edge_sam.errors import InputError
from edge_sam.export.bundle_writer import export_bundle


def export_into_cache(
    name: str,
    checkpoint: Callable[[], Path],
    *,
    precisions: Sequence[str],
    formats: Sequence[str],
    overwrite: bool,
    progress: Callable[[str], None],
) -> Bundle:
    """Make a model's bundle in the cache, or add to the one there.

    A bundle that is there keeps its precisions and formats: it is made again with the new ones beside them. If it has
    all of them, nothing is done.

    Parameters
    ----------
    name : str
        The model's name in the zoo.
    checkpoint : callable
        Returns the path of the model's weights. Called only if they are needed.
    precisions, formats, progress
        See `export_bundle`.
    overwrite : bool
        Make the bundle again even if it has everything.

    Raises
    ------
    InputError, ExportError, OSError
        See `export_bundle`.
    """
    output = cached_bundle(name)
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{output}.lock"):
        bundle = _existing(output)
        if bundle is not None:
            have = {component.format for component in bundle.manifest.components}
            if not overwrite and {*precisions} <= {*bundle.precisions} and {*formats} <= have:
                return bundle
            precisions = list(dict.fromkeys([*bundle.precisions, *precisions]))
            formats = [*formats, "openvino"] if "openvino" in have else formats
        return export_bundle(
            checkpoint(), output, precisions=precisions, formats=formats, overwrite=True, progress=progress
        )


def _existing(folder: Path) -> Bundle | None:
    """Open the bundle of an earlier export. None if there is none, or if it is damaged."""
    try:
        return open_bundle(folder)
    except InputError:
        return None
