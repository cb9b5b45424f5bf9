"""Options that several commands take. Those of a set of settings come from its fields (`edge_sam.settings`)."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from edge_sam.everything.settings import EverythingSettings, Grid
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions


@dataclass(frozen=True, kw_only=True)
class GridOptions(Grid):
    """A grid whose `adaptive` the command line can switch off."""

    adaptive: Annotated[bool, Parameter(negative="--exhaustive")] = Grid.adaptive


@dataclass(frozen=True, kw_only=True)
class ViewOptions(View):
    """A view whose `square` the command line can switch on and off."""

    square: Annotated[bool | None, Parameter(negative="--no-square")] = View.square


@dataclass(frozen=True, kw_only=True)
class EverythingOptions(GridOptions, EverythingSettings):
    """The settings of everything mode, with `square` on unless the command line switches it off."""

    square: Annotated[bool, Parameter(negative="--no-square")] = EverythingSettings.square


Run = Annotated[RunOptions, Parameter(name="*", group=Group("Runtime", sort_key=2))]
Shown = Annotated[ViewOptions, Parameter(name="*")]
ON_A_GRID = Parameter(name="*", group=Group("Everything mode", sort_key=1))
FLAT = Parameter(name="*")
"""Makes an option of each field of a set of settings."""
HYPHEN = Parameter(allow_leading_hyphen=True)
"""Lets a value begin with a hyphen: ``-`` for standard input, or a negative coordinate."""
Json = Annotated[bool, Parameter(help="Print one JSON object on standard output.")]
