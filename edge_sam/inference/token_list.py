"""Which image tokens the decoder takes: those of the photograph, and one for each block of the padding.

SAM's decoder attends to the whole grid of the frame, whatever the photograph covers of it. The tokens of the padding
matter to it, but they are much alike. So the middle token of each block stands for the whole block: its score grows by
the logarithm of their number, as if all of them were there with its key and value. docs/lab/padding-tokens.md has what
that costs in accuracy and saves in time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS
from edge_sam.imaging.geometry import GRID
from edge_sam.runtimes import Tensors

BLOCK = 3
"""Side of a block in tokens. It is odd, so that a token lies in the middle."""


@dataclass(frozen=True, eq=False)
class TokenList:
    """Image tokens for a decoder whose contract has `weighted_tokens`.

    Attributes
    ----------
    index : ndarray of int64, (I,)
        Their places in the 64×64 grid of the frame, counted row by row. The photograph's come first, in order.
    count : ndarray of float32, (I,)
        Of how many tokens each takes the place, itself included.
    """

    index: NDArray[np.int64]
    count: NDArray[np.float32]

    def take(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the tokens, (N, I, 256), from the whole grid, (N, 64, 64, 256)."""
        return np.take(grid.reshape(len(grid), -1, CHANNELS), self.index, axis=1)

    @property
    def inputs(self) -> Tensors:
        """The decoder's inputs about the list."""
        return {"token_index": self.index, "token_count": self.count}


@functools.lru_cache(maxsize=64)
def token_list(rows: int, columns: int, full_grid: bool = False) -> TokenList:
    """List the tokens for a photograph that covers so many rows and columns of tokens from the top left.

    Parameters
    ----------
    rows, columns : int
        1 to 64.
    full_grid : bool
        List every token of the padding, each standing for itself, as the decoder was trained.
    """
    block = 1 if full_grid else BLOCK
    (y, heights), (x, widths) = (_stretches(edge, block) for edge in (rows, columns))
    padding = (y[:, None] >= rows) | (x >= columns)
    photograph = np.arange(GRID**2).reshape(GRID, GRID)[:rows, :columns].ravel()
    index = np.concatenate([photograph, (y[:, None] * GRID + x)[padding]])
    count = np.concatenate([np.ones(photograph.size), np.outer(heights, widths)[padding]])
    return TokenList(index.astype(np.int64), count.astype(np.float32))


def decoder_tokens(grid: NDArray[np.float32], listed: TokenList | None) -> Tensors:
    """Return the decoder's inputs about image tokens: those listed of a (N, 64, 64, 256) grid. None: the whole grid."""
    return {"image_tokens": grid} if listed is None else {"image_tokens": listed.take(grid), **listed.inputs}


def _stretches(edge: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut one axis of the grid at the photograph's edge and every `length` tokens from there, both ways.

    Return the middle of each stretch and the number of its tokens. At the grid's ends a stretch may be shorter.
    """
    bounds = np.unique([0, *range(edge % length, GRID, length), GRID])
    return (bounds[:-1] + bounds[1:]) // 2, np.diff(bounds)
