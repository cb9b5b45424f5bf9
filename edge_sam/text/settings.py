"""The settings of text prompts."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_sam.errors import InputError
from edge_sam.settings import Settings

BACKGROUND = ("background", "an object", "a texture", "a blurry photo", "part of something")
"""What a mask may be that no phrase means."""


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """How words become masks.

    Attributes
    ----------
    top : int, optional
        Most masks for one text, the best ones. Default: all.
    threshold : float, optional
        Least score of a mask, 0 to 1. An object that is not there scores less. Default: as suits the matcher.
    overlap : float
        Overlap (IoU of their boxes) above which the worse of two objects is dropped.
    exclusive : bool
        Whether an object gets only the text that fits it best. False: it gets every text that fits.
    template : str
        Sentence around a text for the matcher, with {} for the text, such as "a photo of {}".
    background : tuple of str
        For a matcher that compares pictures with words: texts that a mask must be less like.
    """

    top: Annotated[int, Meta(ge=1)] | None = None
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    overlap: Annotated[float, Meta(ge=0, le=1)] = 0.6
    exclusive: bool = True
    template: str = "{}"
    background: tuple[str, ...] = BACKGROUND

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.template, str) or self.template.count("{}") != 1:
            raise InputError(f"template {self.template!r} must have {{}} once, in the place of the text")
        if not self.background or not all(text.strip() for text in self.background):
            raise InputError("background needs a text, and none that is empty: a mask is compared with it")
