"""The size and the shape in which the image encoder sees a photograph."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_sam.settings import Settings

FRAME = 1024
"""Side of the model's square frame, and largest side of any encoder's input, in pixels."""
TOKEN = 16
"""Side of an image token in pixels of the frame."""
LongSide = Annotated[int, Meta(ge=TOKEN, le=FRAME, multiple_of=TOKEN)]


class Fit(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model family fits photographs into the encoder's input.

    Attributes
    ----------
    padded : bool
        The photograph keeps its aspect and lies in the top-left corner of a square frame of 1024×1024 pixels, and the
        decoder takes the tokens of the whole frame. False: there is no padding. The photograph is stretched to whole
        multiples, in about its own aspect or as a square.
    multiple : int
        Both sides of the photograph with its padding are multiples of this, in pixels of the frame.
    reduction : int
        Pixels of the frame along one side of a pixel of the encoder's input.
    antialiased : bool
        Whether photographs are reduced with Pillow's filter, which takes all pixels into account.
    """

    padded: bool = True
    multiple: Literal[16, 32, 64] = 16
    reduction: Literal[1, 2] = 1
    antialiased: bool = True


PADDED = Fit()
"""As in SAM."""
STRETCHED = Fit(padded=False, multiple=32)
"""As in SAM 2."""


@dataclass(frozen=True, kw_only=True)
class ViewSize(Settings):
    """The size at which a photograph is encoded.

    Attributes
    ----------
    long_side : int
        Pixels that the longer side is scaled to: a multiple of 16 (some families: of 32 or 64) up to 1024. Less is
        faster and less accurate.
    """

    long_side: LongSide = FRAME


@dataclass(frozen=True, kw_only=True)
class View(ViewSize):
    """The size and the shape in which the image encoder sees a photograph.

    Attributes
    ----------
    square : bool, optional
        Encode a square, as the reference implementation does: padded, or stretched for families without padding.
        Default: as suits the model.
    """

    square: bool | None = None
