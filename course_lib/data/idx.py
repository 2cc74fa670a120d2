"""The IDX format of the MNIST files: a short header, then unsigned bytes."""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from .errors import FormatError

UNSIGNED_BYTE = 8


def parse_idx(content: bytes, name: str = "IDX data") -> UInt8[Tensor, "..."]:
    """The tensor that an IDX file of unsigned bytes holds.

    Header: two zero bytes, a type code (8: unsigned byte), the number of dimensions, then each size as a
    big-endian 32-bit integer. Raises FormatError, which says what differs, for anything else.
    Source: LeCun, Cortes and Burges, the MNIST database, "file formats".
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise FormatError(f"{name}: an IDX file begins with two zero bytes, this one with {content[:4]!r}")
    if content[2] != UNSIGNED_BYTE:
        raise FormatError(f"{name}: type code {content[2]}, expected {UNSIGNED_BYTE} (unsigned bytes)")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise FormatError(f"{name}: ends inside its header, after {len(content)} bytes")
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise FormatError(f"{name}: the header announces shape {shape}, {len(content) - start:,} bytes follow")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].view(shape)
