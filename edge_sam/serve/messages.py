"""What requests and responses hold. The OpenAPI document is made from these classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.preference import Preference

Format = Literal["rle", "polygons", "png"]
LONGEST_TEXT = 200
"""Characters of a text. The models read 16 to 256 tokens of it."""
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Point = tuple[float, float]
Box = tuple[float, float, float, float]
Share = Annotated[float, Meta(ge=0, le=1)]


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class LooseQuery(Query, forbid_unknown_fields=False):
    """Parameters of other programs, which mean nothing here."""


class UploadQuery(Query):
    """How to encode a photograph. Default: as the server was told."""

    long_side: Annotated[int, Meta(ge=TOKEN, le=FRAME, multiple_of=TOKEN)] | None = None
    square: bool | None = None


class EmbeddingQuery(Query):
    """How to write an embedding."""

    format: Literal["npz", "raw"] = "npz"
    dtype: Literal["float32", "float16"] = "float32"


class ImageAnswer(msgspec.Struct):
    """A photograph that was encoded, now or before."""

    id: str
    width: int
    height: int
    cached: bool
    """Whether it was known already, so that nothing had to be encoded."""
    long_side: int
    square: bool
    logit_size: tuple[int, int]
    """Rows and columns of low-res logits, which a mask prompt has."""
    timings: dict[str, float]
    """Milliseconds by stage."""


class PromptBody(msgspec.Struct, forbid_unknown_fields=True):
    """A prompt: any combination of points, a box and a mask, in pixels of the photograph."""

    points: list[Point] | None = None
    labels: list[int] | None = None
    """1 for a point on the object, 0 for a point off it."""
    box: Box | None = None
    """XYXY."""
    mask: str | None = None
    """Base64 of low-res logits of an earlier answer: little-endian float16 or float32, row by row."""


class MasksBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to segment, and how to write it."""

    prompts: Annotated[list[PromptBody], Meta(min_length=1)]
    multimask: bool = True
    """Three masks for each prompt, best first; else the one that `prefer` takes."""
    prefer: Preference = "auto"
    format: Format = "rle"
    logits: bool = False
    """Whether to return low-res logits, to pass back as the mask of a prompt."""


class Rle(msgspec.Struct):
    """Compressed run lengths as in COCO JSON; size is (height, width)."""

    size: tuple[int, int]
    counts: str


class MaskAnswer(msgspec.Struct, omit_defaults=True):
    """A mask in the format that was asked for."""

    score: float
    """Predicted IoU."""
    box: Box
    """XYXY in pixels; x1 and y1 are one past the last pixel. Zeros for an empty mask."""
    area: int
    """In pixels."""
    rle: Rle | None = None
    polygons: list[list[tuple[int, int]]] | None = None
    """Outer outlines, XY at pixel centres."""
    png: str | None = None
    """Base64 of a grey PNG with 255 on the object."""
    logits: str | None = None
    """Base64 of low-res logits, little-endian float16, row by row."""


class PromptAnswer(msgspec.Struct):
    """The masks for one prompt, best first."""

    masks: list[MaskAnswer]
    preferred: dict[str, int]
    """With three masks: the index of the one that each preference takes."""


class MasksAnswer(msgspec.Struct):
    """An answer for each prompt, in the same order."""

    results: list[PromptAnswer]
    timings: dict[str, float]
    """Milliseconds by stage, all prompts together."""


class TextBody(msgspec.Struct, forbid_unknown_fields=True):
    """Words for what to segment. What is left out is as the server was told."""

    text: Annotated[list[Text], Meta(min_length=1)]
    """What to find, such as "a red mug"."""
    top: Annotated[int, Meta(ge=1)] | None = None
    """Most masks for one text."""
    threshold: Share | None = None
    """Least score of a mask."""
    overlap: Share | None = None
    """Overlap (IoU of their boxes) above which the worse of two objects is dropped."""
    exclusive: bool | None = None
    """Whether an object gets only the text that fits it best."""
    format: Format = "rle"


class TextMaskAnswer(MaskAnswer, kw_only=True):
    """A mask that words found. Its `score` tells how well they fit, 0 to 1."""

    text: str
    predicted_iou: float


class TextAnswer(msgspec.Struct):
    """The masks that words found, best score first."""

    masks: list[TextMaskAnswer]
    absent: list[str]
    """The texts that nothing fits."""
    threshold: float
    """Least score of a mask."""
    timings: dict[str, float]
    """Milliseconds by stage, all masks together."""


class Health(msgspec.Struct):
    """That the server runs. Label Studio reads `status` and `model_class`."""

    status: Literal["UP"]
    model: str
    model_class: str
    models_loaded: int
    version: str
    text: bool
    """Whether it has a matcher, so that it finds words."""


class GraphFile(msgspec.Struct):
    """A graph for pages that decode themselves."""

    url: str
    bytes: int
    sha256: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


class DecoderFile(GraphFile):
    """The decoder for pages that decode themselves."""

    precision: str
    upscaling: GraphFile | None
    """Of a decoder in two parts: the graph that makes `low_res_logits` of the first one's outputs."""
    runtime_url: str | None
    """Where the files of onnxruntime-web are, if the server has them."""


class MatcherAnswer(msgspec.Struct):
    """The model that reads text."""

    layout: str
    kind: Literal["boxes", "similarity"]
    """Whether it finds boxes, or compares all masks of a photograph with the words."""
    precision: str
    provider: str
    threshold: float
    """Least score of a mask, unless a request has another."""
    max_texts: int
    max_text_length: int
    """In characters."""


class ModelAnswer(msgspec.Struct):
    """The model that answers."""

    name: str
    family: str
    license: str
    source_sha256: str
    precision: str
    runtime: str
    provider: str
    long_side: int
    square: bool
    mask_threshold: float
    """A pixel is mask where its logit is larger."""
    mask_prompts: bool
    """Whether prompts may have a mask."""
    pad_boxes: bool
    """Whether the decoder wants a "not a point" after the corners of a box too."""
    frame: int
    token: int
    cell: int
    """Pixels of the frame along one side of a low-res cell."""
    labels: dict[str, int]
    """What `point_labels` of the decoder mean."""
    decoder: DecoderFile | None
    """None if only the server can decode: an imported model."""
    matcher: MatcherAnswer | None
    """None if this server finds no words."""
    max_prompts: int
    max_body_mb: int
    max_megapixels: float


class ModelEntry(msgspec.Struct):
    """A model that this server answers with."""

    name: str
    family: str
    precision: str
    text: bool
    """Whether it finds words."""


class ModelsAnswer(msgspec.Struct):
    """All models of this server."""

    models: list[ModelEntry]


class TextLabel(msgspec.Struct):
    """The text that fits a mask best, and how well."""

    id: int
    text: str
    score: float


class EverythingLine(msgspec.Struct, omit_defaults=True):
    """One line of everything mode: a mask, numbers of masks that go, labels, the summary, or an error."""

    id: int | None = None
    mask: MaskAnswer | None = None
    stability: float | None = None
    point: Point | None = None
    removed: list[int] | None = None
    """Numbers of earlier masks that better ones replaced."""
    labels: list[TextLabel] | None = None
    """The masks that a text of the request fits."""
    summary: dict[str, Any] | None = None
    error: dict[str, str] | None = None
