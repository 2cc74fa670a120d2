"""Plain data as bytes, between two processes that need not trust each other: a JSON header, then tensors' raw bytes.

Nothing that is read can run code. What is neither a number, a string, a container, a tensor nor a spec arrives as
`Other`, by the name of its class alone.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.grading.specs import Generator, Leaf, Model

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
HEADER = struct.Struct("<I")


@dataclass(frozen=True)
class Other:
    """A value that is no plain data, by the name of its class."""

    name: str


def encode(value: Any) -> bytes:
    """The value as bytes."""
    blobs: list[bytes] = []
    header = json.dumps(_down(value, blobs)).encode()
    return b"".join([HEADER.pack(len(header)), header, *blobs])


def decode(data: bytes) -> Any:
    """The value from its bytes; ValueError for bytes that are none of ours."""
    try:
        (length,) = HEADER.unpack_from(data)
        header = json.loads(data[HEADER.size : HEADER.size + length])
        return _up(header, memoryview(data)[HEADER.size + length :])
    except (struct.error, KeyError, TypeError, RecursionError, RuntimeError, OverflowError) as error:
        raise ValueError("not a message of ours") from error


def _down(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if isinstance(value, Tensor):
        return _tensor(value, blobs)
    if isinstance(value, (list, tuple)):
        return {"is": "tuple" if isinstance(value, tuple) else "list", "of": [_down(part, blobs) for part in value]}
    if isinstance(value, dict):
        return {"is": "dict", "of": [[str(key), _down(part, blobs)] for key, part in value.items()]}
    if isinstance(value, Generator):
        return {"is": "generator", "seed": value.seed}
    if isinstance(value, Leaf):
        return {"is": "leaf", "of": _down(value.tensor, blobs)}
    if isinstance(value, Model):
        return {"is": "model", "kind": value.kind, "of": _down(value.tensors, blobs)}
    return {"is": "other", "name": value.name if isinstance(value, Other) else type(value).__name__}


def _scalar(value: Any) -> Any:
    """Subclasses of numbers and strings, reduced to what they are."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None


def _tensor(value: Tensor, blobs: list[bytes]) -> dict:
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES or value.layout != torch.strided:
        return {"is": "other", "name": f"{type(value).__name__} of {name}"}
    flat = value.detach().as_subclass(Tensor).cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    blobs.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return {"is": "tensor", "dtype": name, "shape": list(value.shape), "bytes": len(blobs[-1])}


def _up(header: Any, blobs: memoryview) -> Any:
    return _Reader(blobs).read(header)


class _Reader:
    """Walks the header in the order in which it was written, taking bytes for each tensor from the front."""

    def __init__(self, blobs: memoryview):
        self.blobs = blobs

    def read(self, part: Any) -> Any:
        if not isinstance(part, dict):
            if part is None or isinstance(part, (bool, int, float, str)):
                return part
            raise ValueError("not a message of ours")
        return getattr(self, "read_" + {"tuple": "list"}.get(part["is"], part["is"]), self.unknown)(part)

    def unknown(self, part: dict) -> Any:
        raise ValueError("not a message of ours")

    def read_list(self, part: dict) -> Any:
        values = [self.read(value) for value in part["of"]]
        return tuple(values) if part["is"] == "tuple" else values

    def read_dict(self, part: dict) -> dict:
        return {str(key): self.read(value) for key, value in part["of"]}

    def read_generator(self, part: dict) -> Generator:
        return Generator(int(part["seed"]))

    def read_leaf(self, part: dict) -> Leaf:
        return Leaf(self.read(part["of"]))

    def read_model(self, part: dict) -> Model:
        return Model(str(part["kind"]), self.read(part["of"]))

    def read_other(self, part: dict) -> Other:
        return Other(str(part["name"])[:80])

    def read_tensor(self, part: dict) -> Tensor:
        size = int(part["bytes"])
        if size < 0 or size > len(self.blobs):
            raise ValueError("a tensor is cut short")
        data, self.blobs = bytearray(self.blobs[:size]), self.blobs[size:]
        dtype, shape = DTYPES[part["dtype"]], [int(n) for n in part["shape"]]
        return (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(shape)
