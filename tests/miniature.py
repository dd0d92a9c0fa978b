"""The published model in miniature, written anew under its authors' parameter names."""

import math

import torch
from torch import Tensor, nn

WIDTH, INNER, PATCH, SIDE, DIM, WORDS = 128, 192, 8, 4, 8, 60


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention in heads of 64, one head after another: `[B, L, F] -> [B, L, F]`."""
    results = []
    for start in range(0, query.shape[-1], 64):
        q, k, v = (t[..., start : start + 64] for t in (query, key, value))
        logits = torch.einsum("bqd,bkd->bqk", q, k) / 8
        if mask is not None:
            logits = logits.masked_fill(mask[:, None] == 0, -math.inf)
        results.append(torch.einsum("bqk,bkd->bqd", logits.softmax(-1), v))
    return torch.cat(results, -1)


def modules(**children: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(children)


class VisionTransformer(nn.Module):
    """A ViT under timm's parameter names, its patch tokens averaged and then normed."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, WIDTH))
        self.patch_embed = modules(proj=nn.Conv2d(3, WIDTH, PATCH, PATCH))
        self.blocks = nn.ModuleList(
            modules(
                norm1=nn.LayerNorm(WIDTH, eps=1e-6),
                attn=modules(qkv=nn.Linear(WIDTH, 3 * WIDTH), proj=nn.Linear(WIDTH, WIDTH)),
                norm2=nn.LayerNorm(WIDTH, eps=1e-6),
                mlp=modules(fc1=nn.Linear(WIDTH, INNER), fc2=nn.Linear(INNER, WIDTH)),
            )
            for _ in range(depth)
        )
        self.fc_norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), 1, WIDTH), x], 1) + self.pos_embed
        for block in self.blocks:
            x = x + block["attn"]["proj"](attend(*block["attn"]["qkv"](block["norm1"](x)).split(WIDTH, -1)))
            x = x + block["mlp"]["fc2"](nn.functional.gelu(block["mlp"]["fc1"](block["norm2"](x))))
        return self.fc_norm(x[:, 1:].mean(1))


class Bert(nn.Module):
    """BERT under its own parameter names; `[B, L]` tokens and mask -> `[CLS]` state `[B, F]`."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        norm = lambda: nn.LayerNorm(WIDTH, eps=1e-12)  # noqa: E731
        square = lambda: nn.Linear(WIDTH, WIDTH)  # noqa: E731
        self.embeddings = modules(
            word_embeddings=nn.Embedding(WORDS, WIDTH),
            position_embeddings=nn.Embedding(24, WIDTH),
            token_type_embeddings=nn.Embedding(2, WIDTH),
            LayerNorm=norm(),
        )
        self.encoder = modules(
            layer=nn.ModuleList(
                nn.ModuleDict({
                    "attention": nn.ModuleDict({
                        "self": modules(query=square(), key=square(), value=square()),
                        "output": modules(dense=square(), LayerNorm=norm()),
                    }),
                    "intermediate": modules(dense=nn.Linear(WIDTH, INNER)),
                    "output": modules(dense=nn.Linear(INNER, WIDTH), LayerNorm=norm()),
                })
                for _ in range(depth)
            )
        )  # fmt: skip
        self.pooler = modules(dense=square())

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tables = self.embeddings
        x = tables["word_embeddings"](tokens) + tables["position_embeddings"].weight[: tokens.shape[1]]
        x = tables["LayerNorm"](x + tables["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:
            inner, output = layer["attention"]["self"], layer["attention"]["output"]
            heads = attend(inner["query"](x), inner["key"](x), inner["value"](x), mask)
            x = output["LayerNorm"](x + output["dense"](heads))
            hidden = nn.functional.gelu(layer["intermediate"]["dense"](x))
            x = layer["output"]["LayerNorm"](x + layer["output"]["dense"](hidden))
        return x[:, 0]


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(WIDTH, 2 * DIM)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(features)
        return out[:, :DIM], out[:, DIM:].clamp(-6, 6)


class Miniature(nn.Module):
    """The published model, small, with every parameter drawn at random."""

    def __init__(self) -> None:
        super().__init__()
        self.img_enc = nn.Module()
        self.img_enc.backbone, self.img_enc.proj = VisionTransformer(), Head()
        self.txt_enc = nn.Module()
        self.txt_enc.bert, self.txt_enc.proj = Bert(), Head()
        self.a, self.b = nn.Parameter(torch.tensor(1.7)), nn.Parameter(torch.tensor(-0.4))
        generator = torch.Generator().manual_seed(0)
        for name, parameter in self.named_parameters():
            if parameter.ndim:
                noise = torch.randn(parameter.shape, generator=generator)
                # Matrices keep the size of what they are given; norms scale by about 1; tables spread by 0.5.
                spread = 0.5 if "embed" in name or "token" in name else parameter[0].numel() ** -0.5
                centre = float("norm" in name.lower() and name.endswith("weight"))
                parameter.data = centre + (0.2 if parameter.ndim == 1 else spread) * noise

    def image(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        return self.img_enc.proj(self.img_enc.backbone(torch.cat([grey] * 3, 1)))

    def text(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.txt_enc.proj(self.txt_enc.bert(tokens, mask))

    def logit(self, image: tuple[Tensor, Tensor], text: tuple[Tensor, Tensor], i: int, j: int) -> float:
        """−max(a, 1e-3)·d + b of one pair, one dimension after another."""
        d = 0.0
        rows = [t[i].tolist() for t in image] + [t[j].tolist() for t in text]
        for mx, vx, my, vy in zip(*rows, strict=True):
            s = math.exp(vx) + math.exp(vy)
            d += 0.5 * ((mx - my) ** 2 / s + math.log(s))
        return -max(float(self.a), 1e-3) * d + float(self.b)
