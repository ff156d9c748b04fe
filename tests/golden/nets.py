"""Networks in the shapes that people use, small and with random weights: what the
golden gradients (export_gradients.py) and the interoperability tests run.

Every size is an argument; weights follow from torch.manual_seed().
"""

import torch
import torch.nn.functional as F
from torch import nn


def initialised(net, seed):
    """Weights away from the special values that layers start with (ones, zeros)."""
    torch.manual_seed(seed)
    for name, p in net.named_parameters():
        if p.dim() > 1:
            nn.init.normal_(p, std=(p[0].numel()) ** -0.5)
        else:
            nn.init.uniform_(p, *((0.5, 1.5) if name.endswith("weight") else (-0.2, 0.2)))
    for name, b in net.named_buffers():
        if name.endswith("running_mean"):
            nn.init.uniform_(b, -0.2, 0.2)
        elif name.endswith("running_var"):
            nn.init.uniform_(b, 0.5, 1.5)
    return net.eval()


class Residual(nn.Module):
    """Two convolutions with batch norm, and the way around them."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.around = nn.Identity()
        if stride != 1 or cin != cout:
            self.around = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.around(x))


class ResNet(nn.Module):
    """ResNet-18's shape: x [n, 3, h, w] to logits [n, classes]."""

    def __init__(self, width=16, blocks=(2, 2, 2, 2), classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(width)
        stages, cin = [], width
        for i, count in enumerate(blocks):
            for k in range(count):
                cout = width << i
                stages.append(Residual(cin, cout, 2 if i > 0 and k == 0 else 1))
                cin = cout
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.stem(x))), 3, 2, 1)
        return self.fc(F.adaptive_avg_pool2d(self.stages(x), 1).flatten(1))


class Normed(nn.Module):
    """GroupNorm, SiLU, convolution, twice, with an embedding added between."""

    def __init__(self, cin, cout, embedding, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.embed = nn.Linear(embedding, cout) if embedding else None
        self.norm2 = nn.GroupNorm(groups, cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.around = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, e=None):
        y = self.conv1(F.silu(self.norm1(x)))
        if self.embed is not None:
            y = y + self.embed(F.silu(e))[:, :, None, None]
        return self.conv2(F.silu(self.norm2(y))) + self.around(x)


class Looks(nn.Module):
    """Attention over the places of an image, behind a GroupNorm."""

    def __init__(self, channels, heads, groups):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x):
        n, c, h, w = x.shape
        t = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (s.unflatten(-1, (self.heads, -1)).transpose(1, 2) for s in self.qkv(t).chunk(3, -1))
        t = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(t).transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    """A diffusion model's: noisy x [n, 4, h, w] and time [n] to the noise [n, 4, h, w]."""

    def __init__(self, width=32, groups=8, heads=4):
        super().__init__()
        e = 4 * width
        self.width = width
        self.time1, self.time2 = nn.Linear(width, e), nn.Linear(e, e)
        self.conv_in = nn.Conv2d(4, width, 3, padding=1)
        self.down1 = Normed(width, width, e, groups)
        self.shrink1 = nn.Conv2d(width, width, 3, 2, 1)
        self.down2 = Normed(width, 2 * width, e, groups)
        self.look2 = Looks(2 * width, heads, groups)
        self.shrink2 = nn.Conv2d(2 * width, 2 * width, 3, 2, 1)
        self.mid1 = Normed(2 * width, 2 * width, e, groups)
        self.mid_look = Looks(2 * width, heads, groups)
        self.mid2 = Normed(2 * width, 2 * width, e, groups)
        self.up2 = Normed(4 * width, 2 * width, e, groups)
        self.up_look2 = Looks(2 * width, heads, groups)
        self.up1 = Normed(3 * width, width, e, groups)
        self.norm_out = nn.GroupNorm(groups, width)
        self.conv_out = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x, time):
        half = self.width // 2
        freq = torch.exp(torch.arange(half, dtype=torch.float32) * (-9.21 / half))
        angle = time[:, None] * freq[None]
        e = torch.cat([angle.cos(), angle.sin()], -1)
        e = self.time2(F.silu(self.time1(e)))
        skip1 = self.down1(self.conv_in(x), e)
        skip2 = self.look2(self.down2(self.shrink1(skip1), e))
        y = self.mid2(self.mid_look(self.mid1(self.shrink2(skip2), e)), e)
        y = F.interpolate(y, scale_factor=2.0, mode="nearest")
        y = self.up_look2(self.up2(torch.cat([y, skip2], 1), e))
        y = F.interpolate(y, scale_factor=2.0, mode="nearest")
        y = self.up1(torch.cat([y, skip1], 1), e)
        return self.conv_out(F.silu(self.norm_out(y)))


class Decoder(nn.Module):
    """A VAE's: latents [n, 4, h, w] to images [n, 3, 4h, 4w] within [0, 1]."""

    def __init__(self, width=32, groups=8):
        super().__init__()
        self.unscale = nn.Conv2d(4, 4, 1)
        self.conv_in = nn.Conv2d(4, 2 * width, 3, padding=1)
        self.mid1 = Normed(2 * width, 2 * width, 0, groups)
        self.look = Looks(2 * width, 1, groups)
        self.mid2 = Normed(2 * width, 2 * width, 0, groups)
        self.up1 = Normed(2 * width, 2 * width, 0, groups)
        self.grow1 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up2 = Normed(2 * width, width, 0, groups)
        self.grow2 = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.norm_out = nn.GroupNorm(groups, width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z):
        y = self.mid2(self.look(self.mid1(self.conv_in(self.unscale(z)))))
        y = self.grow1(F.interpolate(self.up1(y), scale_factor=2.0, mode="nearest"))
        y = self.grow2(self.up2(y))
        return (self.conv_out(F.silu(self.norm_out(y))) / 2 + 0.5).clamp(0, 1)


class Attention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, mask=None):
        w, qkv = x.shape[-1], self.qkv(x)
        q, k, v = (qkv[..., i * w : i * w + w].unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for i in range(3))
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP; norms before (GPT) or behind (BERT) them."""

    def __init__(self, width, heads, causal):
        super().__init__()
        self.causal = causal
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, causal)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def mlp(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh" if self.causal else "none"))

    def forward(self, x, mask=None):
        if self.causal:
            x = x + self.attn(self.ln1(x))
            return x + self.mlp(self.ln2(x))
        x = self.ln1(x + self.attn(x, mask))
        return self.ln2(x + self.mlp(x))


class Gpt(nn.Module):
    """Token ids [n, t] to logits [n, t, vocabulary]; the head is the embedding."""

    def __init__(self, width=64, heads=4, blocks=2, vocabulary=256, context=64):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, True) for _ in range(blocks)))
        self.ln = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.ln(self.blocks(x)) @ self.tokens.weight.T


class Bert(nn.Module):
    """Token ids and mask [n, t] to states [n, t, width] and pooled [n, width]."""

    def __init__(self, width=64, heads=4, blocks=2, vocabulary=256, context=64):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        self.kinds = nn.Embedding(2, width)
        self.ln = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, False) for _ in range(blocks))
        self.pool = nn.Linear(width, width)

    def forward(self, ids, mask):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1])) + self.kinds(torch.zeros_like(ids))
        x = self.ln(x)
        seen = mask[:, None, None, :].to(torch.bool)
        for block in self.blocks:
            x = block(x, seen)
        return x, torch.tanh(self.pool(x[:, 0]))
