"""Reference implementations of the families in small widths, and what is recorded of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from edge_sam.bundles.contract import TOKENS
from edge_sam.export.reference import install_stubs
from families.recorded import CASES, Shapes, embedding, fine_features, picture, save, seeded

FRAME = 1024
Outputs = dict[str, Tensor]


def fill(model: nn.Module) -> Shapes:
    """Load seeded weights. Return the shapes of the state dict."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(seeded(shapes))
    model.train()
    model.eval()
    return shapes


@torch.no_grad()
def sam_decoder(model: Any) -> Outputs:
    """Record SAM's prompt encoder and mask decoder for all prompts."""
    outputs: Outputs = {}
    for case in CASES:
        points = (torch.tensor([case.points]), torch.tensor([case.labels])) if case.points else None
        box = torch.tensor([case.box]) if case.box else None
        mask = None if case.mask is None else case.mask[None]
        sparse, dense = model.prompt_encoder(points=points, boxes=box, masks=mask)
        logits, scores = model.mask_decoder.predict_masks(
            image_embeddings=embedding().permute(0, 3, 1, 2),
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        outputs |= {f"logits {case.name}": logits, f"scores {case.name}": scores}
    return outputs


def sam(package: Any, encoder: nn.Module) -> Any:
    """Build SAM around an image encoder. `package` has the classes of `segment_anything.modeling`."""
    model = nn.Module()
    model.image_encoder = encoder
    model.prompt_encoder = package.PromptEncoder(256, TOKENS[:2], (FRAME, FRAME), 16)
    transformer = package.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    model.mask_decoder = package.MaskDecoder(transformer_dim=256, transformer=transformer)
    return model


def vit(package: Any, width: int, mlp_ratio: float, global_blocks: tuple[int, ...], depth: int = 2) -> Any:
    """Build SAM's ViT."""
    return package.ImageEncoderViT(
        img_size=FRAME,
        embed_dim=width,
        depth=depth,
        num_heads=2,
        mlp_ratio=mlp_ratio,
        out_chans=256,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=global_blocks,
    )


def cut(encoder: Any, rows: int, columns: int) -> None:
    """Cut position embedding and relative positions of the reference to a grid, which it takes only as a square."""
    encoder.pos_embed = nn.Parameter(encoder.pos_embed[:, :rows, :columns])
    for block in encoder.blocks:
        if not block.window_size:
            for name, count in (("rel_pos_h", rows), ("rel_pos_w", columns)):
                table = getattr(block.attn, name)
                middle = table.shape[0] // 2
                setattr(block.attn, name, nn.Parameter(table[middle - count + 1 : middle + count]))


@torch.no_grad()
def record_vit(width: int, mlp_ratio: float, name: str) -> None:
    """Record SAM's ViT with a block of windows and one between all tokens: the frame and two smaller sizes."""
    install_stubs()
    modeling = importlib.import_module("segment_anything.modeling")
    model = sam(modeling, vit(modeling, width, mlp_ratio, (1,)))
    shapes = fill(model)
    outputs = {f"encoder {FRAME}x{FRAME}": channels_last(model.image_encoder(picture(FRAME, FRAME)))}
    for size in ((400, 576), (16, 320)):
        fill(model)
        cut(model.image_encoder, size[0] // 16, size[1] // 16)
        outputs[f"encoder {size[0]}x{size[1]}"] = channels_last(model.image_encoder(picture(*size)))
        model.image_encoder = vit(modeling, width, mlp_ratio, (1,))
    save(name, shapes, outputs | sam_decoder(model))


@torch.no_grad()
def record_windows(name: str) -> None:
    """Record a photograph in the corner of the frame, in a ViT of windows only.

    Whole windows of it see nothing of the padding, so their tokens tell how positions must be cut.
    """
    install_stubs()
    modeling = importlib.import_module("segment_anything.modeling")
    model = sam(modeling, vit(modeling, 32, 4, ()))
    shapes = fill(model)
    frame = torch.zeros(1, 3, FRAME, FRAME)
    frame[:, :, :224, :448] = picture(224, 448)
    save(name, shapes, {"whole windows": channels_last(model.image_encoder(frame))[:, :13, :27]})


def install_timm() -> None:
    """Make the layers of timm that RepViT takes importable without the rest of timm, which needs torchvision."""
    install_stubs()
    timm, models = sys.modules["timm"], sys.modules["timm.models"]
    timm.__path__ = [str(Path(str(distribution("timm").locate_file("timm"))))]
    layers = ModuleType("timm.layers")
    layers.__path__ = [str(Path(timm.__path__[0], "layers"))]
    sys.modules["timm.layers"] = layers
    old, vision = sys.modules["timm.models.layers"], ModuleType("timm.models.vision_transformer")
    vars(old)["SqueezeExcite"] = importlib.import_module("timm.layers.squeeze_excite").SEModule
    vars(vision)["trunc_normal_"] = nn.init.trunc_normal_
    sys.modules[vision.__name__] = vision
    vars(models).update(register_model=lambda function: function, create_model=None)


@torch.no_grad()
def record_edge_sam(name: str) -> None:
    """Record EdgeSAM: two blocks for each stage, with and without squeeze-and-excitation. The package is isat-sam."""
    install_timm()
    modeling = importlib.import_module("ISAT.segment_any.edge_sam.modeling")
    widths = (16, 24, 32, 40)
    blocks = [
        [3, 2, width, excite, 1, 1 + (not excite and i > 0)] for i, width in enumerate(widths) for excite in (0, 1)
    ]
    modeling.RepViT.arch_settings["small"] = blocks
    model = sam(modeling, modeling.RepViT("small"))
    shapes = fill(model)
    outputs = {f"encoder {h}x{w}": channels_last(model.image_encoder(picture(h, w))) for h, w in ((320, 416), (32, 96))}
    save(name, shapes, outputs | sam_decoder(model))


@torch.no_grad()
def record_repvit_sam(name: str) -> None:
    """Record RepViT-SAM, whose code takes stride 1 after 320 channels. It is in `sam/` of the authors' repository."""
    install_timm()
    modeling = importlib.import_module("repvit_sam.modeling")
    widths = (16, 24, 320, 40)
    blocks = [
        [3, 2, width, excite, 1, 1 + (not excite and i > 0)] for i, width in enumerate(widths) for excite in (0, 1)
    ]
    model = sam(modeling, modeling.RepViT(blocks))
    shapes = fill(model)
    outputs = {f"encoder {h}x{w}": channels_last(model.image_encoder(picture(h, w))) for h, w in ((320, 416), (16, 96))}
    save(name, shapes, outputs)


@torch.no_grad()
def record_efficientvit(extra_stage: bool, name: str) -> None:
    """Record EfficientViT-SAM with the blocks of L or XL. The package is efficientsam."""
    install_timm()
    transforms = sys.modules["torchvision.transforms"]
    vars(transforms).update(dict.fromkeys(("Compose", "ToTensor", "Normalize"), lambda *_: None))
    zoo = importlib.import_module("efficientsam.models.efficientvit.sam")
    modeling = importlib.import_module("efficientsam.segment_anything.modeling")
    norms = importlib.import_module("efficientsam.models.nn.norm")
    backbone = importlib.import_module("efficientsam.models.efficientvit.backbone").EfficientViTLargeBackbone
    if extra_stage:
        trunk = backbone(
            width_list=[8, 8, 16, 32, 64, 96],
            depth_list=[0, 1, 1, 1, 1, 1],
            block_list=["res", "fmb", "fmb", "fmb", "att@3", "att@3"],
            expand_list=[1, 4, 4, 4, 4, 6],
            fewer_norm_list=[False, False, False, False, True, True],
        )
    else:
        trunk = backbone(width_list=[8, 8, 16, 32, 64], depth_list=[1, 1, 1, 1, 2])
    last = len(trunk.width_list) - 1
    neck = zoo.SamNeck(
        fid_list=[f"stage{last - i}" for i in range(3)],
        in_channel_list=trunk.width_list[:-4:-1],
        head_width=256 if extra_stage else 64,
        head_depth=1,
        expand_ratio=0.25 if extra_stage else 1,
        middle_op="fmb",
    )
    model = sam(modeling, zoo.EfficientViTSamImageEncoder(trunk, neck))
    norms.set_norm_eps(model, 1e-6)
    shapes = fill(model)
    side = FRAME if extra_stage else FRAME // 2
    outputs = {f"encoder {side}x{side}": channels_last(model.image_encoder(picture(side, side)))}
    save(name, shapes, outputs | ({} if extra_stage else sam_decoder(model)))


@torch.no_grad()
def record_efficient_sam(name: str) -> None:
    """Record EfficientSAM with two blocks. The package `efficient_sam` is in the authors' repository."""
    builder = importlib.import_module("efficient_sam.efficient_sam")
    encoder = importlib.import_module("efficient_sam.efficient_sam_encoder")
    small = partial(encoder.ImageEncoderViT, img_size=FRAME)
    # The builder has a fixed depth, so the encoder is replaced, with the arguments that the builder gives it.
    model = builder.build_efficient_sam(encoder_patch_embed_dim=64, encoder_num_heads=1)
    model.image_encoder = small(
        patch_size=16,
        in_chans=3,
        patch_embed_dim=128,
        normalization_type="layer_norm",
        depth=2,
        num_heads=2,
        mlp_ratio=4.0,
        neck_dims=[256, 256],
        act_layer=nn.GELU,
    )
    shapes = fill(model)
    outputs = {f"encoder {FRAME}x{FRAME}": channels_last(model.image_encoder(picture(FRAME, FRAME)))}
    for case in CASES:
        if case.masked:
            continue
        box = [case.box[:2], case.box[2:]] if case.box else []
        points = torch.tensor([[[*case.points, *box]]])
        labels = torch.tensor([[[*case.labels, *([2, 3] if box else [])]]])
        image = embedding().permute(0, 3, 1, 2)
        parts = [model.predict_masks(image, points, labels, several, FRAME, FRAME) for several in (False, True)]
        logits, scores = (torch.cat(each, dim=2)[0] for each in zip(*parts, strict=True))
        outputs |= {f"logits {case.name}": logits, f"scores {case.name}": scores}
    save(name, shapes, outputs)


@torch.no_grad()
def record_hq_sam(light: bool, name: str) -> None:
    """Record HQ-SAM with a small ViT, or Light HQ-SAM. The package is segment-anything-hq."""
    install_timm()
    modeling = importlib.import_module("segment_anything_hq.modeling")
    if light:
        encoder = importlib.import_module("segment_anything_hq.build_sam").build_sam_vit_t().image_encoder
    else:
        encoder = vit(modeling, 32, 4, (1,), depth=3)
    model = sam(modeling, encoder)
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    model.mask_decoder = importlib.import_module("segment_anything_hq.modeling.mask_decoder_hq").MaskDecoderHQ(
        transformer_dim=256, transformer=transformer, vit_dim=160 if light else 32
    )
    shapes = fill(model)
    image, early = model.image_encoder(picture(FRAME, FRAME))
    decoder = model.mask_decoder
    features = decoder.embedding_encoder(image) + decoder.compress_vit_feat(early[0].permute(0, 3, 1, 2))
    outputs = {"encoder": channels_last(image), "features": channels_last(features)}
    model.mask_decoder.predict_masks = partial(
        model.mask_decoder.predict_masks, hq_features=fine_features().permute(0, 3, 1, 2)
    )
    recorded = {} if light else sam_decoder(model)
    for key, value in recorded.items():
        outputs[key] = value[:, :4] + value[:, 4:] if key.startswith("logits") else value
    save(name, shapes, outputs)


@torch.no_grad()
def record_transformers(name: str) -> None:
    """Record transformers' `SamModel`, with its own names."""
    transformers = importlib.import_module("transformers")
    config = transformers.SamVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_dim=128, global_attn_indexes=[1]
    )
    model = transformers.SamModel(transformers.SamConfig(vision_config=config))
    model.tie_weights()
    shapes = fill(model)
    shared = "shared_image_embedding.positional_embedding"  # Both of the model's names are of one tensor.
    for each in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
        each.positional_embedding.data.copy_(seeded({shared: shapes[shared]})[shared])
    outputs = {"encoder": channels_last(model.get_image_embeddings(picture(FRAME, FRAME)))}
    image = embedding().permute(0, 3, 1, 2)
    case = CASES[1]
    for several, part in ((False, "single"), (True, "three")):
        answer = model(
            image_embeddings=image,
            input_points=torch.tensor([[case.points]]),
            input_labels=torch.tensor([[case.labels]]),
            multimask_output=several,
        )
        outputs |= {f"logits {part}": answer.pred_masks[0], f"scores {part}": answer.iou_scores[0]}
    logits, scores = (
        torch.cat([outputs.pop(f"{kind} {part}") for part in ("single", "three")], dim=1)
        for kind in ("logits", "scores")
    )
    save(name, shapes, outputs | {f"logits {case.name}": logits, f"scores {case.name}": scores})


def channels_last(x: Tensor) -> Tensor:
    """(1, C, H, W) to (1, H, W, C)."""
    return x.permute(0, 2, 3, 1)


REFERENCES: dict[str, Callable[[str], None]] = {
    "sam": partial(record_vit, 32, 4),
    "slim-sam": partial(record_vit, 28, 4.143),
    "sam-windows": record_windows,
    "edge-sam": record_edge_sam,
    "repvit-sam": record_repvit_sam,
    "efficient-sam": record_efficient_sam,
    "transformers": record_transformers,
    "hq-sam": partial(record_hq_sam, False),
    "light-hq-sam": partial(record_hq_sam, True),
    "efficientvit-sam": partial(record_efficientvit, False),
    "efficientvit-sam-xl": partial(record_efficientvit, True),
}
