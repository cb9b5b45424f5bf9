"""The size and the shape in which the image encoder sees a photograph."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_sam.settings import Settings

FRAME = 1024
"""Side of the model's square frame in pixels."""
TOKEN = 16
"""Side of an image token in pixels of the frame."""
LongSide = Annotated[int, Meta(ge=TOKEN, le=FRAME, multiple_of=TOKEN)]


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
    """The size and the shape in which the image encoder sees a photograph.

    Attributes
    ----------
    square : bool
        Encode the padded square, as the reference implementation does.
    """

    square: bool = False
