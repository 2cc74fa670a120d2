"""Messages on a pipe: eight bytes of length, then the message."""

import struct
from typing import BinaryIO

LENGTH = struct.Struct("<Q")
LONGEST = 64 * 2**20


def write_frame(pipe: BinaryIO, data: bytes) -> None:
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_frame(pipe: BinaryIO, longest: int = 2**40) -> bytes | None:
    """The next message; None at the end of the line; ValueError for one that is too long."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    if length > longest:
        raise ValueError(f"a message of {length} bytes")
    data = pipe.read(length)
    return data if len(data) == length else None
