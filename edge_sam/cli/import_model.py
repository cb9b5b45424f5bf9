"""`edge-sam import`: a bundle of an encoder and a decoder that others exported, or a text model in one folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edge_sam.bundles.manifest import Channels, Values
from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, needs, print_json
from edge_sam.errors import InputError


def import_pair(
    encoder: Path | None = None,
    decoder: Path | None = None,
    /,
    *,
    matcher: list[Path] | None = None,
    output: Path,
    values: Values | None = None,
    channels: Channels | None = None,
    padded: Annotated[bool | None, Parameter(negative="--stretched")] = None,
    license: str = "unknown",
    url: str = "",
    int8: bool = False,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Make a bundle of an ONNX encoder and decoder that another program exported, or check and pack a text model.

    Their layout is told by the names and shapes of their tensors. A drawn scene shows which preprocessing the encoder
    wants; the options below fix it.

    Parameters
    ----------
    encoder
        Image encoder: .onnx, .ort or OpenVINO's .xml.
    decoder
        Mask decoder that belongs to it.
    matcher
        In place of encoder and decoder: folder or file of a text model (docs/text.md). Repeatable.
    output
        Folder to make.
    values
        What the encoder takes: normalised (mean and deviation of SAM), or colours from 0-255 or 0-1.
    channels
        Order of its colours.
    padded
        The photograph keeps its aspect and is padded, or is stretched to a square.
    license
        Licence of the model, for the manifest.
    url
        Where the model comes from, for the manifest.
    int8
        With --matcher: also pack the graphs with matrix products in int8, which --matcher-precision int8 chooses.
    overwrite
        Replace an existing bundle.
    """
    if matcher:
        if encoder is not None or any(each is not None for each in (values, channels, padded)):
            raise InputError("--matcher takes no encoder and decoder, and none of --values, --channels, --padded")
        _pack(matcher, output, license, url, int8, overwrite, json)
        return
    if int8:
        raise InputError("--int8 goes with --matcher; for a model of masks there is edge-sam quantize")
    if encoder is None or decoder is None:
        raise InputError("give an encoder and its decoder, or a text model with --matcher")

    from edge_sam.importing.model_import import import_model
    from edge_sam.importing.pair import Given

    given = Given(values=values, channels=channels, padded=padded, license=license, url=url)
    bundle, scores = import_model(
        encoder, decoder, output, given, overwrite=overwrite, progress=lambda step: echo(f"{step} …", err=True)
    )
    assert bundle.layout is not None
    facts = {
        "bundle": str(bundle.path),
        "layout": bundle.layout.name,
        "values": bundle.layout.values,
        "channels": bundle.layout.channels,
        "padded": bundle.contract.fit.padded,
        "scene_iou": {str(tried): round(score, 4) for tried, score in scores.items()},
        "unproved": True,
    }
    if json:
        print_json(facts)
        return
    for tried, score in scores.items():
        echo(f"{tried!s:28s} IoU {score:.3f} with a drawn scene")
    fit = "padded" if facts["padded"] else "stretched"
    echo(f"layout {facts['layout']}; the encoder takes: {facts['values']}, {facts['channels']}, {fit}")
    echo(f"bundle: {facts['bundle']} (unproved: nobody has measured its accuracy; see edge-sam eval)")


def _pack(
    matcher: list[Path], output: Path, license: str, url: str, int8: bool, overwrite: bool, as_json: bool
) -> None:
    from edge_sam.text.packing import pack_matcher

    quantize: Callable[[Path, Path], None] | None = None
    if int8:
        with needs("quantize", "--int8"):
            from edge_sam.quantize.matcher import quantize_products

            quantize = quantize_products
    echo("asking it for two phrases in two test pictures …", err=True)
    packed = pack_matcher(matcher, output, license=license, url=url, overwrite=overwrite, quantize=quantize)
    files = {each.file: each.sha256 for each in packed.manifest.files}
    role = "compares masks with words" if packed.compares else "finds boxes for words"
    if as_json:
        print_json(
            {
                "matcher": str(packed.folder),
                "layout": packed.manifest.layout,
                "role": role,
                "license": license,
                "url": url,
                "files": files,
            }
        )
        return
    for name, digest in files.items():
        echo(f"{digest[:16]}  {name}")
    echo(f"layout {packed.manifest.layout}: {role}; licence: {license}")
    echo(f"matcher: {packed.folder}")
