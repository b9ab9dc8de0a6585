"""Layers in plain NumPy, to write a paper's equations with: nothing of PyTorch computes here.

Weights come from a module's `state_dict` by name; all arrays are float64, tokens (N, C).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
LAYER_NORM_EPS = 1e-5
"""PyTorch's own; BERT has 1e-12."""


class Weights:
    """A module's values; `part("a.b")` are those whose names begin so."""

    def __init__(self, source: nn.Module | dict[str, Array]) -> None:
        if isinstance(source, nn.Module):
            source = {name: array(value) for name, value in source.state_dict().items()}
        self.values = source

    def __getitem__(self, name: str) -> Array:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return any(known.startswith(f"{name}.") for known in self.values)

    def part(self, name: str) -> "Weights":
        start = f"{name}."
        found = {n.removeprefix(start): v for n, v in self.values.items() if n.startswith(start)}
        assert found, f"no weights begin with {start}"
        return Weights(found)

    def linear(self, x: Array, name: str) -> Array:
        """W x + b of each token."""
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def norm(self, x: Array, name: str, eps: float = LAYER_NORM_EPS) -> Array:
        """LayerNorm of each token."""
        apart = x - x.mean(-1, keepdims=True)
        scaled = apart / np.sqrt((apart**2).mean(-1, keepdims=True) + eps)
        return scaled * self[f"{name}.weight"] + self[f"{name}.bias"]

    def mlp(self, x: Array, name: str, *layers: int) -> Array:
        """Linear layers at these places of a sequence, ReLU between them."""
        *inner, last = layers
        for layer in inner:
            x = relu(self.linear(x, f"{name}.{layer}"))
        return self.linear(x, f"{name}.{last}")


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    """Over the last axis."""
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def multi_head(q: Array, k: Array, v: Array, heads: int, bias: Array | float = 0.0) -> Array:
    """Scaled dot-product attention of projected (N, C), (M, C), (M, C); heads side by side.

    `bias` is added to the scores, (heads, N, M) or what is spread to it; -inf hides.
    """
    size = q.shape[1] // heads
    read = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        scores = q[:, own] @ k[:, own].T / np.sqrt(size)
        added = bias[head] if isinstance(bias, np.ndarray) and bias.ndim == 3 else bias
        read.append(softmax(scores + added) @ v[:, own])
    return np.concatenate(read, -1)


def same(actual: Tensor, expected: Array, tolerance: float = 1e-9) -> None:
    """Equal, where `actual` was computed in float64."""
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(array(actual), expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def lively(module: nn.Module, seed: int = 0, spread: float = 0.3) -> nn.Module:
    """In float64 with random values everywhere: no layer, bias or norm is left at its start."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.normal_(0, spread, generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.005, 0.02, generator=generator)
    return module.double().eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Random float64 values."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
