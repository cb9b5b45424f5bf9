"""The record of what ran."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True):
    """What a report says about a model that ran.

    Attributes
    ----------
    model : str
        Name of the bundle.
    weights : str
        sha256 of the checkpoint that the bundle was made from.
    precision : str
        Precision of the weights.
    runtime : str
        Name of the backend, with its device if one was chosen.
    provider : str
        The provider that really ran, as the backend names it.
    unproved : bool
        Whether the model was imported: nobody compared it with its reference.
    """

    model: str
    weights: str
    precision: str
    runtime: str
    provider: str
    unproved: bool
