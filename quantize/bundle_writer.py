"""From a bundle to one with a quantised precision more, on the disk whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from edge_sam.bundle import Bundle, Calibration, Companion, Component, Manifest, Measured, open_bundle
from edge_sam.bundle_folder import move_into_place, write_manifest
from edge_sam.quantize.accuracy import Accuracy
from edge_sam.quantize.work import Part

_SHARED = ("mask_encoder", "constants", "probe")
"""Roles whose files the quantised precision shares with the float one."""
_SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}


class BundleDraft:
    """A copy of a bundle that is being added to, in a temporary folder beside where it will be.

    Parameters
    ----------
    source : Bundle
        What is copied.
    output : Path
        Where it will be. Use as a context: on leaving, what was not put in place is gone.
    """

    def __init__(self, source: Bundle, output: Path) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.", suffix=".part")
        self._source, self._output = source, output

    def __enter__(self) -> BundleDraft:
        self._folder = Path(self._temporary.name) / self._output.name
        self._folder.mkdir()
        for file in sorted(path for path in self._source.path.iterdir() if path.is_file()):
            shutil.copyfile(file, self._folder / file.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def add(self, parts: Sequence[Part], precision: str, exact: str) -> Bundle:
        """Write components of a new precision and open what the bundle has become.

        Parameters
        ----------
        parts : sequence of Part
            Encoder and decoder.
        precision, exact : str
            The new precision, and that whose other components it shares.
        """
        manifest = self._source.manifest
        components = list(manifest.components)
        have = {(component.role, component.precision, component.format) for component in components}
        for component in manifest.components:
            new = (component.role, precision, component.format) not in have
            if component.role in _SHARED and component.precision == exact and new:
                components.append(msgspec.structs.replace(component, precision=precision))
        for part in parts:
            like = self._source.component(part.role, exact, "onnx")
            components.append(self._write(part, precision, like))
        return self._save(msgspec.structs.replace(manifest, components=tuple(components)))

    def describe(
        self,
        bundle: Bundle,
        command: str,
        precision: str,
        calibration: Calibration | None,
        accuracies: Sequence[Accuracy],
        protocol: str,
    ) -> Bundle:
        """Put into the manifest where the new precision comes from and how good it is."""
        manifest = bundle.manifest
        made_by = msgspec.structs.replace(
            manifest.made_by,
            command=f"{manifest.made_by.command} && {command}",
            versions={**manifest.made_by.versions, **{name: version(name) for name in ("onnx", "onnxruntime")}},
        )
        measured = [_measured(accuracy, precision, protocol) for accuracy in accuracies]
        return self._save(
            msgspec.structs.replace(
                manifest,
                name=self._output.name,
                made_by=made_by,
                measured=(*manifest.measured, *measured),
                calibrations=(*manifest.calibrations, *([calibration] if calibration else [])),
            )
        )

    def finish(self) -> Bundle:
        """Put it in its place."""
        move_into_place(self._folder, self._output)
        return open_bundle(self._output)

    def _write(self, part: Part, precision: str, like: Component) -> Component:
        names = [f"{part.role}.{precision}{suffix}" for suffix in _SUFFIXES[part.format]]
        contents = [part.data, *([part.companion] if part.companion is not None else [])]
        for name, data in zip(names, contents, strict=True):
            (self._folder / name).write_bytes(data)
        companion = None
        if part.companion is not None:
            companion = Companion(names[1], _sha256(part.companion), len(part.companion))
        return msgspec.structs.replace(
            like,
            precision=precision,
            format=part.format,
            file=names[0],
            sha256=_sha256(part.data),
            bytes=len(part.data),
            companion=companion,
        )

    def _save(self, manifest: Manifest) -> Bundle:
        write_manifest(self._folder, manifest)
        return open_bundle(self._folder)


def _measured(accuracy: Accuracy, precision: str, protocol: str) -> Measured:
    values = {}
    for prompt in accuracy.miou:
        values[f"{prompt} mIoU"] = accuracy.miou[prompt]
        values[f"{prompt} mIoU of the float model"] = accuracy.float_miou[prompt]
        values[f"{prompt} agreement"] = accuracy.agreement[prompt]
    return Measured(f"mIoU × 100 against {accuracy.truth}", precision, protocol, values)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
