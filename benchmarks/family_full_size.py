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
from collections.abc import Callable
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


def reference(width: int, depth: int, heads: int, global_blocks: tuple[int, ...]) -> nn.Module:
    """Build SAM's ViT with random weights of about the spread of trained ones."""
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
    generator = torch.Generator().manual_seed(0)
    for parameter in encoder.parameters():
        spread = 0.2 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        parameter.data = parameter.data * (parameter.dim() == 1) + spread * torch.randn(
            parameter.shape, generator=generator
        )
    return encoder.eval()


def timed(name: str, run: Callable[[], Tensor]) -> Tensor:
    """Run, and print the time and the peak memory so far."""
    start = time.perf_counter()
    result = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  {name:12s} {time.perf_counter() - start:6.1f} s   peak memory {peak:.1f} GB", flush=True)
    return result


@torch.no_grad()
def measure(name: str, threads: int, export_only: bool) -> None:
    """Print times and differences for one encoder."""
    print(name)
    theirs = reference(*SIZES[name])
    image = torch.randn(1, 3, FRAME, FRAME, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(1) if export_only else timed("reference", partial(theirs, image)).permute(0, 2, 3, 1)
    ours = ViT(Weights({f"image_encoder.{key}": value for key, value in theirs.state_dict().items()})).eval()
    del theirs
    results = {} if export_only else {"modules": timed("modules", partial(ours, image))}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "encoder.onnx")
        start = time.perf_counter()
        files = save_graph(to_onnx("encoder", ours, store_half=False), file)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        sizes = ", ".join(f"{each.stat().st_size / 1e9:.2f} GB" for each in files)
        print(f"  export       {time.perf_counter() - start:6.1f} s   peak memory {peak:.1f} GB   {sizes}", flush=True)
        if export_only:
            return
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        inputs = {"image": image.numpy()}
        results["graph"] = timed("graph", lambda: torch.from_numpy(session.run(None, inputs)[0]))
    for part, output in results.items():
        difference = float((output - expected).abs().max() / expected.std())
        print(f"  {part}: largest difference from the reference {difference:.1e} of its spread")


def main() -> None:
    """Measure the encoders that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=SIZES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export-only", action="store_true", help="run nothing: for the memory of the export")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.names:
        measure(name, chosen.threads, chosen.export_only)


if __name__ == "__main__":
    main()
