"""SAM 2 tiny in plain formulas, as the papers have it, and a checkpoint of its shapes with seeded random weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Tensors = dict[str, Tensor]
STARTS = {1: 1, 3: 2, 10: 3}
"""Blocks of Hiera tiny that begin a stage."""
WINDOWS = [8, 8, 4, 4, 14, 0, 14, 0, 14, 0, 14, 7]
CROSS = ("cross_attn_token_to_image", "cross_attn_image_to_token")


def random_tensors(first: int = 96) -> Tensors:
    """A checkpoint of SAM 2 tiny's shapes, with the official names. `first` is the width of the first stage."""
    shapes: dict[str, tuple[int, ...]] = {"no_mem_embed": (1, 1, 256), "maskmem_tpos_enc": (7, 1, 1, 64)}

    def linear(name: str, inputs: int, outputs: int, *kernel: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)})

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    trunk = "image_encoder.trunk"
    linear(f"{trunk}.patch_embed.proj", 3, first, 7, 7)
    shapes.update({f"{trunk}.pos_embed": (1, first, 7, 7), f"{trunk}.pos_embed_window": (1, first, 8, 8)})
    width = first
    for i in range(12):
        block, inputs = f"{trunk}.blocks.{i}", width
        if i in STARTS:
            width *= 2
            linear(f"{block}.proj", inputs, width)
        norm(f"{block}.norm1", inputs)
        linear(f"{block}.attn.qkv", inputs, 3 * width)
        linear(f"{block}.attn.proj", width, width)
        norm(f"{block}.norm2", width)
        linear(f"{block}.mlp.layers.0", width, 4 * width)
        linear(f"{block}.mlp.layers.1", 4 * width, width)
    for i, width in enumerate((8 * first, 4 * first, 2 * first, first)):
        linear(f"image_encoder.neck.convs.{i}.conv", width, 256, 1, 1)
    prompt, decoder = "sam_prompt_encoder", "sam_mask_decoder"
    shapes[f"{prompt}.pe_layer.positional_encoding_gaussian_matrix"] = (2, 128)
    for part in ("no_mask_embed", "not_a_point_embed", *(f"point_embeddings.{i}" for i in range(4))):
        shapes[f"{prompt}.{part}.weight"] = (1, 256)
    linear(f"{prompt}.mask_downscaling.0", 1, 4, 2, 2)
    norm(f"{prompt}.mask_downscaling.1", 4)
    linear(f"{prompt}.mask_downscaling.3", 4, 16, 2, 2)
    norm(f"{prompt}.mask_downscaling.4", 16)
    linear(f"{prompt}.mask_downscaling.6", 16, 256, 1, 1)
    for part, count in (("iou_token", 1), ("mask_tokens", 4), ("obj_score_token", 1)):
        shapes[f"{decoder}.{part}.weight"] = (count, 256)
    attentions = [f"layers.{i}.{part}" for i in (0, 1) for part in ("self_attn", *CROSS)] + [
        "final_attn_token_to_image"
    ]
    for name in attentions:
        inner = 256 if name.endswith("self_attn") else 128
        for part in ("q_proj", "k_proj", "v_proj"):
            linear(f"{decoder}.transformer.{name}.{part}", 256, inner)
        linear(f"{decoder}.transformer.{name}.out_proj", inner, 256)
    for i in (0, 1):
        linear(f"{decoder}.transformer.layers.{i}.mlp.layers.0", 256, 2048)
        linear(f"{decoder}.transformer.layers.{i}.mlp.layers.1", 2048, 256)
        for k in (1, 2, 3, 4):
            norm(f"{decoder}.transformer.layers.{i}.norm{k}", 256)
    norm(f"{decoder}.transformer.norm_final_attn", 256)
    shapes.update(
        {f"{decoder}.output_upscaling.0.weight": (256, 64, 2, 2), f"{decoder}.output_upscaling.0.bias": (64,)}
    )
    norm(f"{decoder}.output_upscaling.1", 64)
    shapes.update({f"{decoder}.output_upscaling.3.weight": (64, 32, 2, 2), f"{decoder}.output_upscaling.3.bias": (32,)})
    linear(f"{decoder}.conv_s0", 256, 32, 1, 1)
    linear(f"{decoder}.conv_s1", 256, 64, 1, 1)
    for head, last in [(f"output_hypernetworks_mlps.{i}", 32) for i in range(4)] + [("iou_prediction_head", 4)]:
        for i, outputs in enumerate((256, 256, last)):
            linear(f"{decoder}.{head}.layers.{i}", 256, outputs)
    linear(f"{decoder}.pred_obj_score_head.layers.0", 256, 256)
    generator = torch.Generator().manual_seed(0)
    return {name: _random(name, shape, generator) for name, shape in shapes.items()}


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return 0.1 * values + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return values / (values[0].numel() ** 0.5 if name.endswith("weight") and shape[0] > 1 else 2)


def hiera(t: Tensors, image: Tensor) -> list[Tensor]:
    """Hiera as the papers have it, with windows one by one. Channels-first stages."""
    trunk = "image_encoder.trunk"
    x = F.conv2d(image, t[f"{trunk}.patch_embed.proj.weight"], t[f"{trunk}.patch_embed.proj.bias"], 4, 3)
    rows, columns = x.shape[2:]
    window = t[f"{trunk}.pos_embed_window"].tile(1, 1, rows // 8, columns // 8)
    x = x + F.interpolate(t[f"{trunk}.pos_embed"], size=(rows, columns), mode="bicubic") + window
    x, heads, stages = x.permute(0, 2, 3, 1), 1, []
    for i, window_size in enumerate(WINDOWS):
        name, pool = f"{trunk}.blocks.{i}", i in STARTS
        if pool:
            stages.append(x.permute(0, 3, 1, 2))
            heads *= 2
        y = F.layer_norm(x, x.shape[3:], t[f"{name}.norm1.weight"], t[f"{name}.norm1.bias"], 1e-6)
        shortcut = pooled(F.linear(y, t[f"{name}.proj.weight"], t[f"{name}.proj.bias"])) if pool else x
        x = shortcut + attention(t, f"{name}.attn", y, heads, window_size, pool)
        y = F.layer_norm(x, x.shape[3:], t[f"{name}.norm2.weight"], t[f"{name}.norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, t[f"{name}.mlp.layers.0.weight"], t[f"{name}.mlp.layers.0.bias"]))
        x = x + F.linear(y, t[f"{name}.mlp.layers.1.weight"], t[f"{name}.mlp.layers.1.bias"])
    return [*stages, x.permute(0, 3, 1, 2)]


def pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def attention(t: Tensors, name: str, x: Tensor, heads: int, window: int, pool: bool) -> Tensor:
    _, rows, columns, _ = x.shape
    size = window or max(rows, columns)
    if window:
        x = F.pad(x, (0, 0, 0, -columns % window, 0, -rows % window))
    step = 2 if pool else 1
    out = torch.zeros(1, x.shape[1] // step, x.shape[2] // step, t[f"{name}.proj.bias"].shape[0])
    for top in range(0, x.shape[1], size):
        for left in range(0, x.shape[2], size):
            part = x[:, top : top + size, left : left + size]
            q, k, v = F.linear(part, t[f"{name}.qkv.weight"], t[f"{name}.qkv.bias"]).chunk(3, dim=-1)
            q = pooled(q) if pool else q
            shape = q.shape
            q, k, v = (y.reshape(1, -1, heads, shape[3] // heads).transpose(1, 2) for y in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(shape)
            out[:, top // step : (top + size) // step, left // step : (left + size) // step] = mixed
    out = out[:, : rows // step, : columns // step]
    return F.linear(out, t[f"{name}.proj.weight"], t[f"{name}.proj.bias"])


def decode(t: Tensors, image: Tensor, features: list[Tensor], coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One prompt as the papers have it. Image tokens and features channels-first."""
    name, (_, _, rows, columns) = "sam_mask_decoder", image.shape
    kinds = {-1: "not_a_point_embed", **{i: f"point_embeddings.{i}" for i in range(4)}}
    points = []
    for coord, label in zip(coords, labels.tolist(), strict=True):
        place = (coord + 0.5) / (16 * torch.tensor([columns, rows]))
        token = t[f"sam_prompt_encoder.{kinds[label]}.weight"]
        points.append(token if label < 0 else token + fourier(t, place))
    output = [t[f"{name}.{part}.weight"] for part in ("obj_score_token", "iou_token", "mask_tokens")]
    prompt = torch.cat(output + points)
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    position = fourier(t, torch.stack([x, y], -1).view(-1, 2))
    keys, tokens = image.flatten(2)[0].T, prompt
    for i in (0, 1):
        layer = f"{name}.transformer.layers.{i}"
        mixed = multi_head(t, f"{layer}.self_attn", tokens + i * prompt, tokens + i * prompt, tokens)
        tokens = layer_norm(t, f"{layer}.norm1", i * tokens + mixed)
        mixed = multi_head(t, f"{layer}.{CROSS[0]}", tokens + prompt, keys + position, keys)
        tokens = layer_norm(t, f"{layer}.norm2", tokens + mixed)
        tokens = layer_norm(t, f"{layer}.norm3", tokens + perceptron(t, f"{layer}.mlp", tokens, 2))
        mixed = multi_head(t, f"{layer}.{CROSS[1]}", keys + position, tokens + prompt, tokens)
        keys = layer_norm(t, f"{layer}.norm4", keys + mixed)
    mixed = multi_head(t, f"{name}.transformer.final_attn_token_to_image", tokens + prompt, keys + position, keys)
    tokens = layer_norm(t, f"{name}.transformer.norm_final_attn", tokens + mixed)
    x = F.conv_transpose2d(keys.T.view(1, 256, rows, columns), t[f"{name}.output_upscaling.0.weight"], stride=2)
    x = layer_norm(t, f"{name}.output_upscaling.1", (x + features[1]).permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)
    x = F.conv_transpose2d(F.gelu(x), t[f"{name}.output_upscaling.3.weight"], stride=2) + features[0]
    hyper = [perceptron(t, f"{name}.output_hypernetworks_mlps.{i}", tokens[2 + i], 3) for i in range(4)]
    logits = torch.einsum("mc,chw->mhw", torch.stack(hyper), F.gelu(x)[0])
    return logits, perceptron(t, f"{name}.iou_prediction_head", tokens[1], 3).sigmoid()


def fourier(t: Tensors, place: Tensor) -> Tensor:
    matrix = t["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    phase = 2 * torch.pi * (2 * place - 1) @ matrix
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


def layer_norm(t: Tensors, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"], eps)


def perceptron(t: Tensors, name: str, x: Tensor, layers: int) -> Tensor:
    for i in range(layers):
        x = F.linear(F.relu(x) if i else x, t[f"{name}.layers.{i}.weight"], t[f"{name}.layers.{i}.bias"])
    return x


def multi_head(t: Tensors, name: str, *inputs: Tensor) -> Tensor:
    q, k, v = (
        F.linear(x, t[f"{name}.{part}_proj.weight"], t[f"{name}.{part}_proj.bias"]).view(len(x), 8, -1).transpose(0, 1)
        for part, x in zip("qkv", inputs, strict=True)
    )
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
    return F.linear(mixed, t[f"{name}.out_proj.weight"], t[f"{name}.out_proj.bias"])
