"""Write a bundle's graphs in the layout of other programs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import TERMS
from edge_sam.bundles.manifest import Manifest, Values
from edge_sam.errors import InputError
from edge_sam.export.layouts.check import check_pair
from edge_sam.export.layouts.hugging_face import HF_SAM, HF_SAM2
from edge_sam.export.layouts.layout import ExportLayout, read_parts
from edge_sam.export.layouts.sam import SAM
from edge_sam.export.layouts.sam2 import SAM2
from edge_sam.files.atomic import check_output_folder, write_files
from edge_sam.loading import load
from edge_sam.runtimes import REFERENCE
from edge_sam.version import __version__

LAYOUTS = (SAM, SAM2, HF_SAM, HF_SAM2)


def write_layout(
    bundle: Bundle,
    output: Path,
    name: str,
    *,
    values: Values | None = None,
    precision: str = "auto",
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Write an encoder and a decoder that other programs read, with the files that go along.

    The pair is compared with the bundle before a file gets its name. If anything fails, no file is left.

    Parameters
    ----------
    bundle : Bundle
        The model.
    output : Path
        Folder for the files.
    name : str
        The layout: sam, sam2 or hf.
    values : str, optional
        What the encoder takes. Default: what is usual in the layout.
    precision : str
        As in `edge_sam.load`.
    overwrite : bool
        Replace files of an earlier export.
    progress : callable
        Called with a description of each step.

    Returns
    -------
    dict
        ``files``: bytes by path. ``agreement``: see `check_pair`. ``precision``, ``values``.

    Raises
    ------
    InputError
        The model or the values do not fit the layout, or the output exists.
    ExportError
        The written pair disagrees with the bundle.
    OSError
        The disk is full or the folder is not writable.
    """
    layout = find_layout(name, bundle)
    values = _checked(layout, values)
    model = bundle.manifest.name
    pair = [file.format(name=model) for file in (layout.encoder_file, layout.decoder_file)]
    terms = [term for term in TERMS if (bundle.path / term).is_file()]
    check_output_folder(output)
    # Clients hand over the whole grid, so the pair is compared with a decoder that sees all of it.
    predictor = load(bundle.path, runtime=REFERENCE, precision=precision, strict=True, full_grid=True)
    parts = read_parts(bundle, predictor.precision)
    texts = layout.side_files(parts, model, values)
    for file in (*pair, *texts, *terms):
        if not overwrite and (output / file).exists():
            raise InputError(f"{output / file} already exists; give --overwrite to replace it")
    contents = {output / file: text.encode() for file, text in texts.items()}
    contents |= {output / term: (bundle.path / term).read_bytes() for term in terms}
    progress(f"writing {' and '.join(pair)}")
    graphs = layout.encoder(parts, values), layout.decoder(parts)
    with tempfile.TemporaryDirectory() as folder:
        drafts = Path(folder, "encoder.onnx"), Path(folder, "decoder.onnx")
        for file, draft, graph in zip(pair, drafts, graphs, strict=True):
            contents[output / file] = _signed(graph, bundle.manifest, layout, predictor.precision)
            draft.write_bytes(contents[output / file])
        progress("comparing its masks with the bundle's")
        agreement = check_pair(layout, values, drafts, predictor)
    write_files(contents)
    return {
        "layout": layout.name,
        "precision": predictor.precision,
        "values": values,
        "files": {str(path.relative_to(output)): len(data) for path, data in contents.items()},
        "agreement": agreement,
    }


def require_layout(name: str, values: Values | None) -> None:
    """Raise `InputError` if no layout has this name, or none of that name takes these values."""
    named = [layout for layout in LAYOUTS if layout.name == name]
    if not named:
        names = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
        raise InputError(f"unknown layout {name!r}; known: {names}")
    if not any(values is None or values in layout.values for layout in named):
        _checked(named[0], values)


def find_layout(name: str, bundle: Bundle) -> ExportLayout:
    """Return the layout of a name for a model. Raises `InputError` if there is none for it."""
    if bundle.layout is not None:
        raise InputError(f"bundle {bundle.manifest.name} was imported: its files have another program's layout already")
    fitting = [layout for layout in LAYOUTS if layout.takes(bundle.contract)]
    found = next((layout for layout in fitting if layout.name == name), None)
    if found is None:
        names = " or ".join(layout.name for layout in fitting)
        hint = f"give {names}" if names else "no program is known here that reads models of this family"
        raise InputError(f"{bundle.manifest.name} ({bundle.manifest.family}) has no layout {name!r}; {hint}")
    return found


def _checked(layout: ExportLayout, values: Values | None) -> Values:
    if values is not None and values not in layout.values:
        raise InputError(f"the encoder of layout {layout.name} takes {' or '.join(layout.values)}, not {values}")
    return values or layout.values[0]


def _signed(model: ModelProto, manifest: Manifest, layout: ExportLayout, precision: str) -> bytes:
    """Return a model's bytes, with where it comes from in its metadata."""
    model.producer_name, model.producer_version = "edge-sam", __version__
    source = manifest.source
    for key, value in {
        "model": manifest.name,
        "layout": layout.name,
        "precision": precision,
        "source": source.file,
        "source_sha256": source.sha256,
        "source_url": source.url,
        "license": source.license,
    }.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())
