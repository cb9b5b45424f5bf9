"""How a model is run."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from edge_sam.errors import InputError
from edge_sam.runtimes.cores import MAX_THREADS
from edge_sam.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RunOptions(Settings):
    """How a model is run.

    Attributes
    ----------
    runtime : str
        auto (the fastest that `edge-sam tune` measured here, else the first usable), or one that `edge-sam doctor`
        lists. A device may follow a colon: openvino:GPU, cuda:1. Two joined by a plus run the image encoder in the
        first and the rest in the second: openvino+onnxruntime.
    precision : str
        auto (the most exact that the bundle has, or the one that was tuned), smallest, or one of the bundle's
        precisions, such as fp32, w16 or int8. bf16 computes with the files of w16, in OpenVINO on processors that have
        instructions for it.
    threads : int, optional
        Threads for one inference. Default: the environment variable EDGE_SAM_THREADS, else one for each physical core.
    strict : bool
        Fail when the runtime fails, instead of falling back to the next one with a warning.
    full_grid : bool
        Let the decoder see every token of the padding around the photograph, as it was trained. By default one token
        stands for each block of padding: a prompt takes less time, and masks agree to a mean IoU of 0.998 by point
        and 0.999 by box.
    options : mapping of str to str
        The named runtime's own options, passed on unchanged: those of the provider for ONNX Runtime, properties for
        OpenVINO. On the command line: --options.NUM_STREAMS 1.
    """

    runtime: str = "auto"
    precision: str = "auto"
    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] | None = None
    strict: bool = False
    full_grid: bool = False
    options: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, value, kinds, expected in (
            ("runtime", self.runtime, str, 'a name or "auto"'),
            ("precision", self.precision, str, 'a name or "auto"'),
        ):
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise InputError(f"{name} must be {expected}, not {type(value).__name__}")
        super().__post_init__()
