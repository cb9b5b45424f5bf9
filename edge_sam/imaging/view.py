"""How a photograph is shown to the image encoder."""

from dataclasses import dataclass

from edge_sam.imaging.geometry import FRAME, LongSide
from edge_sam.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ViewSize(Settings):
    """The size at which a photograph is encoded.

    Attributes
    ----------
    long_side : int
        Pixels that the longer side is scaled to: a multiple of 16 up to 1024. Less is faster and less accurate.
    """

    long_side: LongSide = FRAME


@dataclass(frozen=True, kw_only=True)
class View(ViewSize):
    """How a photograph is shown to the image encoder.

    Attributes
    ----------
    square : bool
        Encode the padded square, as the reference implementation does.
    """

    square: bool = False
