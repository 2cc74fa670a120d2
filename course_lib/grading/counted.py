"""Parts of models that count how often they are called, for answers that are to call them no more than needed."""

import torch
from torch import Tensor


class Counted:
    """Something that may be called `limit` times, and then says that it has been asked too often."""

    def __init__(self, limit: Tensor):
        self.left = self.limit = int(limit)

    def count(self, what: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError(f"{what} was called too often: {self.limit} calls are enough")


class CountedStep(Counted):
    """states = K_x x + K_above above + K_left left, the three matrices in `mix`, for any number of pixels at once."""

    def __init__(self, mix: Tensor, limit: Tensor):
        super().__init__(limit)
        self.mix = mix

    def __call__(self, x: Tensor, above: Tensor, left: Tensor) -> Tensor:
        self.count("step")
        parts = zip(self.mix, (x, above, left), strict=True)
        return sum(torch.einsum("oi,bi...->bo...", matrix.to(part.dtype), part) for matrix, part in parts)


class CountedLayer(Counted):
    """y = scale * tanh(weight * window + bias) at one place; its window ends there, [batch, channels, taps]."""

    def __init__(self, weight: Tensor, bias: Tensor, scale: Tensor, limit: Tensor, name: str):
        super().__init__(limit)
        self.weight, self.bias, self.scale, self.name = weight, bias, scale, name
        self.channels, self.taps = weight.shape[1:]

    def __call__(self, window: Tensor) -> Tensor:
        self.count(self.name)
        if window.shape[1:] != self.weight.shape[1:]:
            wanted = f"[batch, {self.channels}, {self.taps}]"
            raise ValueError(f"{self.name} takes a window of shape {wanted}, not {list(window.shape)}")
        return self.scale * torch.tanh(torch.einsum("oit,bit->bo", self.weight, window.to(torch.float32)) + self.bias)


def counted_layers(limit: Tensor, **tensors: Tensor) -> list[CountedLayer]:
    """A stack from weight0, bias0, scale0, weight1, ..., each layer with its own count."""
    names = ("weight", "bias", "scale")
    parts = [[tensors[f"{name}{i}"] for name in names] for i in range(len(tensors) // len(names))]
    return [CountedLayer(*part, limit, f"layer {i}") for i, part in enumerate(parts)]
