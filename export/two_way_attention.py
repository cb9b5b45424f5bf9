"""Two-way attention between prompt and image (arXiv 2304.02643, appendix A), written for export.

There are 4096 image tokens and about 7 prompt tokens. Upstream projects all image tokens to queries, keys and values in
each of five attention layers. Here the few prompt tokens absorb these projections, which is exact because they are
linear:

- token to image: ``(W_q t) · (W_k i) = (W_kᵀ W_q t) · i``; the bias of the keys adds the same number to all
  scores of a token, which softmax ignores; and ``Σ a (W_v i) = W_v (Σ a i)``.
- image to token: ``(W_q i) · (W_k t) = i · (W_qᵀ W_k t)``, and ``W_o Σ a (W_v t) = Σ a (W_o W_v t)``.

Shapes: N prompts, T tokens each, I image tokens (4096 in the whole frame of SAM), 8 heads. ``absent`` (N, 1, T) is
added to the scores of the tokens as keys: 0, or a large negative number for tokens that are padding. ``log_count`` (I,)
is added to the scores of the image tokens as keys: the softmax then counts a token as often as it stands for others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Linear, Norm, parameter, reshape

_HEADS = 8


class _Projections:
    """The four projections of one upstream attention layer, with the softmax scale folded into the queries."""

    def __init__(self, weights: Weights, name: str, inner: int) -> None:
        query, key, value = (Linear(weights, f"{name}.{part}_proj", CHANNELS, inner) for part in "qkv")
        scale = (inner // _HEADS) ** -0.5
        self.query_weight, self.query_bias = query.weight * scale, query.bias * scale
        self.key_weight, self.key_bias = key.weight.data, key.bias.data
        self.value_weight, self.value_bias = value.weight.data, value.bias.data
        out = Linear(weights, f"{name}.out_proj", inner, CHANNELS)
        self.out_weight, self.out_bias = out.weight.data, out.bias.data


def _split_heads(x: Tensor) -> Tensor:
    """(N, T, 8·d) to (N, 8, T, d)."""
    return reshape(x, 0, 0, _HEADS, -1).transpose(1, 2)


def _merge_heads(x: Tensor) -> Tensor:
    """(N, 8, T, d) to (N, T, 8·d)."""
    return reshape(x.transpose(1, 2), 0, 0, -1)


class SelfAttention(nn.Module):
    """Self-attention of the prompt tokens. (N, T, 256) to (N, T, 256)."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        p = _Projections(weights, name, CHANNELS)
        self.qk_weight = parameter(torch.cat([p.query_weight, p.key_weight]))
        self.qk_bias = parameter(torch.cat([p.query_bias, p.key_bias]))
        self.value_weight, self.value_bias = parameter(p.value_weight), parameter(p.value_bias)
        self.out_weight, self.out_bias = parameter(p.out_weight), parameter(p.out_bias)

    def forward(self, x: Tensor, values: Tensor, absent: Tensor) -> Tensor:
        query, key = F.linear(x, self.qk_weight, self.qk_bias).chunk(2, dim=-1)
        value = F.linear(values, self.value_weight, self.value_bias)
        scores = _split_heads(query) @ _split_heads(key).transpose(-2, -1) + absent[:, :, None, :]
        mixed = _merge_heads(scores.softmax(dim=-1) @ _split_heads(value))
        return F.linear(mixed, self.out_weight, self.out_bias)


class TokenToImage(nn.Module):
    """Attention from prompt tokens to the image. tokens (N, T, 256), image (1 or N, I, 256) to (N, T, 256)."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        p = _Projections(weights, name, CHANNELS // 2)
        self.query_weight, self.query_bias = parameter(p.query_weight), parameter(p.query_bias)
        self.absorbed_key = parameter(p.key_weight.view(_HEADS, -1, CHANNELS))
        self.value_weight = parameter(p.value_weight.view(_HEADS, -1, CHANNELS).transpose(1, 2))
        self.out_weight = parameter(p.out_weight)
        self.out_bias = parameter(p.out_bias + p.out_weight @ p.value_bias)

    def forward(
        self, tokens: Tensor, image: Tensor, image_with_position: Tensor, log_count: Tensor | None = None
    ) -> Tensor:
        query = _split_heads(F.linear(tokens, self.query_weight, self.query_bias)) @ self.absorbed_key
        scores = reshape(query, 0, -1, CHANNELS) @ image_with_position.transpose(1, 2)
        if log_count is not None:
            scores = scores + log_count
        mixed = scores.softmax(dim=-1) @ image
        value = reshape(mixed, 0, _HEADS, -1, CHANNELS) @ self.value_weight
        return F.linear(_merge_heads(value), self.out_weight, self.out_bias)


class ImageToToken(nn.Module):
    """Attention from image tokens to the prompt. image (1 or N, I, 256), tokens (N, T, 256) to (N, I, 256)."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        p = _Projections(weights, name, CHANNELS // 2)
        self.key_weight, self.key_bias = parameter(p.key_weight), parameter(p.key_bias)
        self.absorbed_query = parameter(p.query_weight.view(_HEADS, -1, CHANNELS))
        self.query_bias = parameter(p.query_bias.view(_HEADS, -1, 1))
        self.value_weight, self.value_bias = parameter(p.value_weight), parameter(p.value_bias)
        self.absorbed_out = parameter(p.out_weight.view(CHANNELS, _HEADS, -1).permute(1, 2, 0))
        # Each head's weights sum to one, so an equal fraction of the bias in every head adds up to the bias.
        self.out_bias = parameter(p.out_bias / _HEADS)

    def forward(self, image_with_position: Tensor, keys: Tensor, tokens: Tensor, absent: Tensor) -> Tensor:
        key = _split_heads(F.linear(keys, self.key_weight, self.key_bias))
        query = reshape(key @ self.absorbed_query, 0, -1, CHANNELS)
        bias = reshape((key @ self.query_bias).squeeze(-1) + absent, 0, -1, 1)
        # Softmax over the few prompt tokens, with the many image tokens on the last axis, because runtimes are slow at
        # softmax over rows of seven.
        scores = query @ image_with_position.transpose(1, 2) + bias
        # `reshape` copies the number of image tokens, if these keep their axis, the fourth.
        scores = reshape(scores.unsqueeze(1), 0, _HEADS, -1, 0)
        weights = (scores - scores.amax(dim=2, keepdim=True)).exp()
        weights = reshape(weights / weights.sum(dim=2, keepdim=True), 0, 1, -1, 0)
        value = _split_heads(F.linear(tokens, self.value_weight, self.value_bias)) @ self.absorbed_out + self.out_bias
        mixed = weights.transpose(-2, -1) @ reshape(value, 0, 1, -1, CHANNELS)
        return reshape(mixed, 0, -1, CHANNELS)


class TwoWayBlock(nn.Module):
    """Self-attention, token-to-image attention, MLP, and image-to-token attention."""

    def __init__(self, weights: Weights, name: str, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attention = SelfAttention(weights, f"{name}.self_attn")
        self.token_to_image = TokenToImage(weights, f"{name}.cross_attn_token_to_image")
        self.lin1 = Linear(weights, f"{name}.mlp.lin1", CHANNELS, 2048)
        self.lin2 = Linear(weights, f"{name}.mlp.lin2", 2048, CHANNELS)
        self.image_to_token = ImageToToken(weights, f"{name}.cross_attn_image_to_token")
        self.norms = nn.ModuleList([Norm(weights, f"{name}.norm{i}", CHANNELS) for i in (1, 2, 3, 4)])

    def forward(
        self,
        tokens: Tensor,
        prompt: Tensor,
        image: Tensor,
        position: Tensor,
        absent: Tensor,
        log_count: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        if self.first:  # Upstream: no position and no residual before the first layer's norm.
            tokens = self.norms[0](self.self_attention(tokens, tokens, absent))
        else:
            tokens = self.norms[0](tokens + self.self_attention(tokens + prompt, tokens, absent))
        placed = image + position
        tokens = self.norms[1](tokens + self.token_to_image(tokens + prompt, image, placed, log_count))
        tokens = self.norms[2](tokens + self.lin2(F.relu(self.lin1(tokens))))
        image = self.norms[3](image + self.image_to_token(placed, tokens + prompt, tokens, absent))
        return tokens, image
