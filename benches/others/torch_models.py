"""The models of benches/models in PyTorch: same sizes, same activations."""

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, x):
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(5 * 5 * 64, 128), nn.Linear(128, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNN(1, 64, nonlinearity="relu", batch_first=True)
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        states, _ = self.cell(x)
        return self.fc2(F.relu(self.fc1(states[:, -1])))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(8, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        states, _ = self.cell(x)
        return self.out(states[:, -1])


class Attention(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.cell = nn.GRU(1, width, batch_first=True)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.fit = nn.Linear(width, 1, bias=False)
        self.fc1, self.fc2 = nn.Linear(2 * width, 64), nn.Linear(64, 10)

    def forward(self, x):
        states, last = self.cell(x)
        last = last[-1]
        fit = self.fit(torch.tanh(self.query(last).unsqueeze(1) + self.key(states)))
        seen = (torch.softmax(fit, dim=1) * states).sum(dim=1)
        return self.fc2(F.relu(self.fc1(torch.cat((seen, last), dim=-1))))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    def forward(self, x):
        x = x + self.attention(self.ln1(x))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self, vocabulary, context, width, heads, layers):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.ln, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        x = self.tok(ids) + self.pos.weight[: ids.shape[1]]
        return self.head(self.ln(self.blocks(x)))


class Vgg16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, before = [], 3
        for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.fc1, self.fc2, self.out = nn.Linear(7 * 7 * 512, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))


MAKE = {
    "dense64": lambda: nn.Linear(64, 64, bias=False),
    "dense512": lambda: nn.Linear(128, 512, bias=False),
    "conv28": lambda: nn.Conv2d(1, 32, 3, bias=False),
    "mlp": Mlp,
    "cnn": Cnn,
    "rnn": Rnn,
    "lstm": Lstm,
    "attn": Attention,
    "gpt": lambda: Transformer(512, 128, 256, 4, 4),
    "gpt2-small": lambda: Transformer(50257, 1024, 768, 12, 12),
    "vgg16": Vgg16,
}
