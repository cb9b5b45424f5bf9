"""`edge-sam serve`: answer over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from edge_sam.cli.options import Run, Shown, ViewOptions
from edge_sam.cli.output import echo, needs
from edge_sam.cli.text import WORDS, MatcherOptions, open_segmenter
from edge_sam.inference.run_options import RunOptions
from edge_sam.serve.settings import ServeSettings
from edge_sam.system.quiet import silenced

_SERVER = Parameter(name="*", group=Group("Server", sort_key=1))


def serve(
    model: str = "mobile-sam",
    /,
    *,
    settings: Annotated[ServeSettings, _SERVER] = ServeSettings(),
    view: Shown = ViewOptions(),
    words: Annotated[MatcherOptions, WORDS] = MatcherOptions(),
    decoder: Path | None = None,
    run: Run = RunOptions(),
) -> None:
    """Answer over HTTP: a page to click on, an API, and the protocols of labelling tools. With --matcher, find words.

    Parameters
    ----------
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    """
    with needs("serve", "serve"):
        from edge_sam.serve.server import serve as answer

    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with

    with silenced():
        predictor = load_with(with_decoder(model, decoder), run)
        text = open_segmenter(predictor, words, run)
    answer(predictor, settings, view, lambda address: echo(f"listening on {address}"), text)
