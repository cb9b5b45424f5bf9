"""Encoders of official sizes with random weights: the reference, our modules and our graph at the full frame.

    python benchmarks/family_full_size.py sam-b [sam-l …] [--threads 1] [--export-only]

It needs `segment-anything` and `segment-anything-hq`, installed without dependencies. Weights are random, so only the
agreement, the times and the memory mean something. Times are of one run.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from edge_sam.export.checkpoint import Weights
from edge_sam.export.onnx_writer import save_graph, to_onnx
from edge_sam.export.reference import install_stubs
from edge_sam.export.vit import ViT
from edge_sam.imaging.view import FRAME

SIZES = {
    "sam-b": (768, 12, 12, (2, 5, 8, 11)),
    "sam-l": (1024, 24, 16, (5, 11, 17, 23)),
    "sam-h": (1280, 32, 16, (7, 15, 23, 31)),
}
"""Width, depth, heads and blocks between all tokens."""


def architecture(width: int, depth: int, heads: int, global_blocks: tuple[int, ...]) -> nn.Module:
    """Build the reference's ViT."""
    install_stubs()
    encoder: nn.Module = importlib.import_module("segment_anything.modeling").ImageEncoderViT(
        img_size=FRAME,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        out_chans=256,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=global_blocks,
    )
    return encoder.eval()


def randomise(encoder: nn.Module) -> None:
    """Give all parameters random values of about the spread of trained ones."""
    generator = torch.Generator().manual_seed(0)
    for parameter in encoder.parameters():
        spread = 0.2 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        noise = spread * torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data * (parameter.dim() == 1) + noise


def constants(encoder: nn.Module) -> dict[str, Tensor]:
    """Return weights that are made in no time. No two are equal, because the exporter would keep one of them."""
    return {name: torch.full(each.shape, 0.0001 * i) for i, (name, each) in enumerate(encoder.state_dict().items(), 1)}


def timed(name: str, run: Callable[[], Tensor]) -> Tensor:
    """Run, and print the time and the peak memory so far."""
    start = time.perf_counter()
    result = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"  {name:12s} {time.perf_counter() - start:6.1f} s   peak memory {peak:.1f} GB", flush=True)
    return result


def ours(weights: Mapping[str, Tensor]) -> ViT:
    """Return our modules with the reference's weights."""
    return ViT(Weights({f"image_encoder.{name}": tensor for name, tensor in weights.items()})).eval()


def export(encoder: ViT, file: Path) -> None:
    """Export, and print the time, the peak memory so far and the sizes of the files."""
    start = time.perf_counter()
    files = save_graph(to_onnx("encoder", encoder, store_half=False), file)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    sizes = ", ".join(f"{each.stat().st_size / 1e9:.2f} GB" for each in files)
    print(f"  {'export':12s} {time.perf_counter() - start:6.1f} s   peak memory {peak:.1f} GB   {sizes}", flush=True)


@torch.no_grad()
def measure_export(name: str, file: Path) -> None:
    """Print what the export of an encoder with constant weights takes."""
    with torch.device("meta"):
        meta = architecture(*SIZES[name])
    export(ours(constants(meta)), file)


@torch.no_grad()
def measure(name: str, file: Path, threads: int) -> None:
    """Print times and differences for one encoder."""
    theirs = architecture(*SIZES[name])
    randomise(theirs)
    image = torch.randn(1, 3, FRAME, FRAME, generator=torch.Generator().manual_seed(1))
    expected = timed("reference", partial(theirs, image)).permute(0, 2, 3, 1)
    encoder = ours(theirs.state_dict())
    del theirs
    results = {"modules": timed("modules", partial(encoder, image))}
    export(encoder, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    results["graph"] = timed("graph", lambda: torch.from_numpy(session.run(None, {"image": image.numpy()})[0]))
    for part, output in results.items():
        difference = float((output - expected).abs().max() / expected.std())
        print(f"  {part}: largest difference from the reference {difference:.1e} of its spread")


def main() -> None:
    """Measure the encoders that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=SIZES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--export-only", action="store_true", help="run nothing, with constant weights: for the memory of the export"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.names:
        print(name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "encoder.onnx")
            if chosen.export_only:
                measure_export(name, file)
            else:
                measure(name, file, chosen.threads)


if __name__ == "__main__":
    main()
