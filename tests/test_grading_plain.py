"""What goes over the pipe: everything plain survives, nothing else does, and no bytes can hurt the judge."""

import random
import struct

import pytest
import torch

from course_lib.grading.plain import DTYPES, Other, decode, encode
from course_lib.grading.specs import Generator, Leaf, Model


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 1)])
def test_a_tensor_survives(dtype, shape):
    tensor = torch.randn(shape).mul(100).abs().to(dtype)
    back = decode(encode(tensor))
    assert (back.shape, back.dtype) == (tensor.shape, tensor.dtype)
    assert torch.equal(back, tensor)


def test_views_and_gradients_are_sent_as_their_values():
    tensor = torch.arange(12.0).reshape(3, 4).T[1:].requires_grad_() * 2
    assert torch.equal(decode(encode(tensor)), tensor.detach())
    assert not decode(encode(tensor)).requires_grad


def test_containers_numbers_and_specs_survive():
    value = [None, True, -3, 2.5, "é", (1, [2]), {"a": Generator(7)}, Model("constant", {"logits": torch.ones(2)})]
    back = decode(encode(value))
    assert back[:7] == value[:7]
    assert torch.equal(back[7].tensors["logits"], torch.ones(2))
    assert str(decode(encode([float("nan"), float("inf")]))) == "[nan, inf]"


def test_a_leaf_survives_and_is_built_with_a_gradient():
    back = decode(encode([Leaf(torch.ones(2, 3).double())]))[0]
    assert torch.equal(back.tensor, torch.ones(2, 3).double())
    assert back.build().requires_grad and not back.tensor.requires_grad


def test_what_is_not_plain_arrives_as_a_name():
    assert decode(encode(lambda: 0)) == Other("function")
    assert decode(encode([object()])) == [Other("object")]


def test_subclasses_arrive_as_what_they_are_made_of():
    class Liar(float):
        def __eq__(self, other):
            return True

    back = decode(encode(Liar(2.0)))
    assert type(back) is float
    assert back != 3


def test_broken_bytes_give_a_value_or_a_value_error():
    whole = encode({"a": [torch.ones(3, 2), 1.5, Generator(3)], "b": Model("parity", {"w": torch.ones(2).long()})})
    dice = random.Random(0)
    for _ in range(3000):
        data = bytearray(whole[: dice.randrange(len(whole))] if dice.random() < 0.3 else whole)
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            decode(bytes(data))
        except ValueError:
            pass


def test_a_header_without_end_is_refused():
    deep = b"[" * 100_000
    with pytest.raises(ValueError, match="not a message of ours"):
        decode(struct.pack("<I", len(deep)) + deep)
