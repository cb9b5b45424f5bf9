"""The image embedding: the encoder's output, from which the decoder answers prompts."""

from __future__ import annotations

import io
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS, HIGH_RES, Contract
from edge_sam.errors import InputError
from edge_sam.files.arrays import load_arrays
from edge_sam.files.atomic import write_files
from edge_sam.files.serialization import decode_json
from edge_sam.imaging.decoding import MAX_PIXELS
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import FRAME, PADDED, TOKEN, Fit
from edge_sam.inference.token_list import TokenList, decoder_tokens
from edge_sam.runtimes import Session

_PADDED_FORMAT, _FORMAT = 1, 2
"""Version of the files of families that pad, and of those that do not, which have `fit` and further feature maps."""


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """The embedding of a photograph.

    Attributes
    ----------
    features : ndarray of float32, (rows, columns, 256)
        Image embedding of the whole frame, rows from the top, channels last: `Geometry.grid_size` tokens. Tokens beyond
        the photograph hold the embedding of padding.
    geometry : Geometry
        How the photograph lies in the frame.
    model : str
        Identity of the weights: sha256 of their checkpoint.
    precision : str
        Precision of the encoder that made it.
    timings : mapping of str to float
        Milliseconds by stage: ``read`` (if a path was given), ``preprocess``, ``encode``.
    high_res : mapping of str to ndarray of float32, (rows, columns, channels)
        Further feature maps, if the family has them; see `edge_sam.bundles.contract.FeatureMap`.
    """

    features: NDArray[np.float32]
    geometry: Geometry
    model: str
    precision: str
    timings: Mapping[str, float] = field(default_factory=dict)
    high_res: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    _uploaded: tuple[weakref.ref[Session], dict[str, Any]] | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_uploaded": None}

    def cropped(self) -> ImageEmbedding:
        """Return a padded square's embedding as one of the photograph alone, for those who need no logits beyond it.

        The tokens of the padding keep the values that were encoded, but some of them may stand for others.
        """
        if self.high_res or not (self.geometry.square and self.geometry.fit.padded):
            return self  # Convolutions of a decoder with further features see across the photograph's edge.
        return replace(self, geometry=replace(self.geometry, square=False))

    def channels_first(self) -> NDArray[np.float32]:
        """Return the features as the reference implementation has them, (1, 256, 64, 64)."""
        return np.ascontiguousarray(self.features.transpose(2, 0, 1))[None]

    def image_tokens(self, no_mask: NDArray[np.float32], decoder: Session, listed: TokenList | None) -> dict[str, Any]:
        """Return the decoder's inputs about image tokens, for prompts without a mask, on the decoder's device.

        The first call uploads them. Later calls reuse them, so that they cross a GPU's bus only once.

        Parameters
        ----------
        no_mask : ndarray of float32, (256,)
            The model's constant of that name. It belongs to `model`, so all calls pass the same value.
        decoder : Session
            The session that uses the tokens.
        listed : TokenList, optional
            The tokens to take, for one session always the same; None: the whole grid.

        Returns
        -------
        dict of str to value
            See `edge_sam.inference.token_list.decoder_tokens`. The tokens are as returned by `decoder.upload`.
        """
        kept = self._uploads(decoder)
        if "image_tokens" not in kept:
            inputs = decoder_tokens((self.features + no_mask)[None], listed)
            kept["image_tokens"] = {**inputs, "image_tokens": decoder.upload(inputs["image_tokens"])}
        found: dict[str, Any] = kept["image_tokens"]
        return found

    def high_res_inputs(self, decoder: Session) -> dict[str, Any]:
        """Return the further feature maps by name, on the decoder's device, as `image_tokens` does for the tokens."""
        kept = self._uploads(decoder)
        for name, each in self.high_res.items():
            if name not in kept:
                kept[name] = decoder.upload(each[None])
        return {name: kept[name] for name in self.high_res}

    def _uploads(self, decoder: Session) -> dict[str, Any]:
        kept = self._uploaded
        if kept is None or kept[0]() is not decoder:
            kept = (weakref.ref(decoder), {})
            object.__setattr__(self, "_uploaded", kept)
        return kept[1]

    def check_maps(self, contract: Contract) -> None:
        """Raise `InputError` if the feature maps are not those that a model with this contract makes."""
        grid = self.geometry.grid_size
        expected = {each.name: each.size(*grid) for each in contract.high_res}
        ours = {name: each.shape for name, each in self.high_res.items()}
        if ours != expected or self.features.shape != (*grid, CHANNELS) or self.geometry.fit != contract.fit:
            raise InputError("the embedding's feature maps are not those of this model; encode the image again")

    def save(self, path: str | Path) -> None:
        """Write the embedding to an ``.npz`` file, atomically.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_files({Path(path): self.to_bytes()})

    def to_bytes(self) -> bytes:
        """Return the content of the file that `save` writes."""
        header = _Header(
            format=_PADDED_FORMAT if self.geometry.fit == PADDED else _FORMAT,
            model=self.model,
            precision=self.precision,
            image_size=self.geometry.image_size,
            long_side=self.geometry.long_side,
            square=self.geometry.square,
            frame=FRAME,
            token=TOKEN,
            fit=self.geometry.fit,
        )
        arrays: dict[str, Any] = {"features": self.features, **self.high_res}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, header=np.frombuffer(msgspec.json.encode(header), dtype=np.uint8))
        return buffer.getvalue()

    @classmethod
    def load(cls, path: str | Path) -> ImageEmbedding:
        """Read an embedding that `save` wrote.

        `Predictor.predict` checks that it fits the model: an embedding of other weights or of another precision is an
        error.

        Raises
        ------
        InputError
            The file is missing or damaged, or has another geometry or version.
        """
        arrays = load_arrays(Path(path), "an image embedding", ("features", "header", *HIGH_RES))
        try:
            header = decode_json(arrays.pop("header").tobytes(), _Header)
            features = arrays.pop("features")
        except (KeyError, msgspec.DecodeError) as error:
            raise InputError(f"{path} is not an image embedding, or it is damaged: {error}") from error
        if header.format > _FORMAT:
            raise InputError(f"embedding {path} was written by a newer edge_sam; upgrade with: pip install -U edge-sam")
        if (header.frame, header.token) != (FRAME, TOKEN):
            raise InputError(
                f"embedding {path} has another geometry (frame {header.frame}, token {header.token});"
                f" this model has frame {FRAME}, token {TOKEN}: encode the image again"
            )
        for name, each in {"features": features, **arrays}.items():
            if each.ndim != 3 or each.dtype != np.float32 or not np.isfinite(each).all():
                raise InputError(f"embedding {path} is damaged: {name} are {each.dtype} {each.shape}, or not finite")
        if min(header.image_size) < 1 or header.image_size[0] * header.image_size[1] > MAX_PIXELS:
            raise InputError(f"embedding {path} is damaged: its image would have {header.image_size} pixels")
        geometry = Geometry(header.image_size, long_side=header.long_side, square=header.square, fit=header.fit)
        if features.shape != (*geometry.grid_size, CHANNELS):
            raise InputError(f"embedding {path} is damaged: features are {features.dtype} {features.shape}")
        high_res = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
        return cls(features, geometry, header.model, header.precision, high_res=high_res)


class _Header(msgspec.Struct, omit_defaults=True):
    format: Annotated[int, msgspec.Meta(ge=1)]
    model: str
    precision: str
    image_size: tuple[int, int]
    long_side: int
    square: bool
    frame: int
    token: int
    fit: Fit = PADDED
