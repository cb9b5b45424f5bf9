"""Compare an exported model with its torch modules."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_sam.bundles.contract import Role
from edge_sam.errors import ExportError
from edge_sam.export.torch_model import TorchModel
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import FRAME, TOKEN, Fit
from edge_sam.inference.token_list import token_list
from edge_sam.runtimes import REFERENCE, Session, SessionOptions, backend

EMBEDDING_BOUND = 1e-4
"""Largest difference allowed in an image embedding or a feature map."""
LOGIT_BOUND = 2e-3
"""Largest difference allowed in low-res logits."""
SCORE_BOUND = 1e-4
"""Largest difference allowed in predicted IoU."""
_REACH = {"low_res_logits": 80.0}
"""What the absolute values of an output reach in MobileSAM; 1 for the others. In a model whose values reach further,
the bound grows in proportion, because rounding does."""

_WIDE = 576
"""Height of a 16:9 photograph in the frame."""
_SIZES = ((1024, 1024), (576, 1024), (1024, 576), (688, 1024), (384, 512), (16, 1024), (1024, 16))


def check_parity(model: TorchModel, sessions: dict[Role, Session]) -> dict[str, float]:
    """Compare every component for several input sizes and every combination of prompts.

    Parameters
    ----------
    model : TorchModel
        The reference model.
    sessions : dict of role to Session
        The exported model, loaded in a runtime.

    Returns
    -------
    dict of str to float
        The largest absolute difference of each output.

    Raises
    ------
    ExportError
        A difference is beyond its bound. The message names the output and the input.
    """
    bounds = {"low_res_logits": LOGIT_BOUND, "predicted_iou": SCORE_BOUND}
    worst: dict[str, float] = {}
    for output, ours, reference, case in _comparisons(model, sessions):
        difference = float(np.abs(ours - reference.numpy()).max())
        reach = float(reference.abs().max()) / _REACH.get(output, 1.0)
        bound = bounds.get(output, EMBEDDING_BOUND) * max(1.0, reach)
        if not difference <= bound:  # NaN must fail.
            raise ExportError(
                f"the exported model disagrees with torch: {output} differs by {difference:.2e}"
                f" (allowed {bound:.0e}) for {case}; nothing was written"
            )
        worst[output] = max(worst.get(output, 0.0), difference)
    return worst


@torch.no_grad()
def _comparisons(
    model: TorchModel, sessions: dict[Role, Session]
) -> Iterator[tuple[str, NDArray[np.float32], Tensor, str]]:
    """Yield an output's name, both models' values of it, and a description of the input."""
    contract, fit = model.contract, model.contract.fit
    frame = (FRAME, FRAME) if fit.padded else (_WIDE, FRAME)
    maps = _several(model.encoder(_test_image(fit, frame)))
    for size in _SIZES[:1] if contract.fixed else _SIZES:
        image = _test_image(fit, size)
        outputs = sessions["encoder"].run({"image": image.numpy()})
        references = maps if size == frame else _several(model.encoder(image))
        case = f"an input of {image.shape[2]}×{image.shape[3]}"
        for output, reference in zip(contract.outputs["encoder"], references, strict=True):
            yield output, outputs[output], reference, case
    embedding, *high_res = maps
    for case, points, labels, mask in _prompt_cases(frame):
        tokens = embedding + model.no_mask
        if mask is not None:
            if "mask_encoder" not in sessions:
                continue
            tokens = model.mask_encoder(embedding, mask)
            inputs = {"image_embedding": embedding.numpy(), "mask": mask.numpy()}
            yield "image_tokens", sessions["mask_encoder"].run(inputs)["image_tokens"], tokens, case
        arguments = [tokens, *high_res, points, labels]
        if fit.padded:
            size = (_WIDE if len(labels) > 1 and not contract.fixed else FRAME) // TOKEN, FRAME // TOKEN
            arguments.append(torch.tensor(size))
            if contract.weighted_tokens:
                listed = token_list(*size)
                arguments[:1] = map(torch.from_numpy, (listed.take(tokens.numpy()), *listed.inputs.values()))
        outputs = sessions["decoder"].run(
            {name: tensor.numpy() for name, tensor in zip(contract.inputs["decoder"], arguments, strict=True)}
        )
        if contract.separate_upscaling:
            parts = {name: outputs[name] for name in ("attended_tokens", "mask_weights")}
            outputs |= sessions["upscaling"].run({**parts, "token_size": np.array(size)})
        for output, reference in zip(("low_res_logits", "predicted_iou"), model.decode(*arguments), strict=True):
            yield output, outputs[output], reference, case


def _several(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def open_sessions(folder: Path, files: dict[Role, str]) -> dict[Role, Session]:
    """Load components on the CPU."""
    cpu = backend(REFERENCE)
    return {role: cpu.open_session(folder / file, SessionOptions()) for role, file in files.items()}


def _test_image(fit: Fit, size: tuple[int, int]) -> Tensor:
    """Return a (1, 3, H, W) image with smooth gradients and noise, in normalised units, for pixels of the frame."""
    height, width = (-(-side // fit.multiple) * fit.multiple // fit.reduction for side in size)
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    y, x = torch.meshgrid(torch.linspace(-2, 2, height), torch.linspace(-2, 2, width), indexing="ij")
    smooth = torch.stack([torch.sin(3 * x + y), torch.cos(2 * y - x), torch.sin(x * y)])
    return (smooth + 0.3 * torch.randn(smooth.shape, generator=generator))[None]


def _prompt_cases(frame: tuple[int, int]) -> Iterator[tuple[str, Tensor, Tensor, Tensor | None]]:
    """Yield all combinations of points, box and mask, for one prompt and for several of different lengths."""
    generator = torch.Generator().manual_seed(0)
    for prompts, points, box, masked in itertools.product((1, 3), (0, 1, 3), (False, True), (False, True)):
        if not (points or box or masked):
            continue
        kinds = [1, 0, 1][:points] + ([2, 3] if box else [-1] if points else [])
        kinds.append(-2)
        labels = torch.tensor([kinds] * prompts)
        if prompts > 1 and points > 1:
            labels[1, 1] = -2
        coords = torch.rand(prompts, len(kinds), 2, generator=generator) * torch.tensor(frame[::-1])
        cells = [side // CELL for side in frame]
        mask = 8 * torch.randn(prompts, *cells, generator=generator) if masked else None
        name = f"{prompts} × ({points} points{', box' if box else ''}{', mask' if masked else ''})"
        yield name, coords, labels, mask
