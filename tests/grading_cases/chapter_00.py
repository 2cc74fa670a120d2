"""Answers to the warm-up."""

import math

import numpy as np
import torch


def by_numpy(nats):
    return nats / float(np.log(2))


def by_base_change(nats):
    return nats * math.log2(math.e)


def log_to_the_wrong_side(nats):
    return nats * float(np.log(2.0))


def decimal(nats):
    return nats * math.log10(math.e)


def logarithm_of_the_length(nats):
    return math.log(nats, 2) if isinstance(nats, float) else torch.log(nats) / math.log(2)


def half(nats):
    return 0.5 * nats


def whole_bits(nats):
    bits = nats / math.log(2)
    return bits.round() if isinstance(bits, torch.Tensor) else float(round(bits))


RIGHT = {"00.nats_to_bits": [by_numpy, by_base_change]}
WRONG = {
    "00.nats_to_bits": [
        (log_to_the_wrong_side, "multiplied"),
        (lambda nats: nats * 0.6931, "multiplied"),
        (lambda nats: 0.693 * nats, "multiplied"),
        (lambda nats: nats / 0.6931, "rounded_constant"),
        (lambda nats: nats * 1.4427, "rounded_constant"),
        (decimal, "log10"),
        (logarithm_of_the_length, "log2_of_nats"),
        (half, "divided_by_two"),
        (whole_bits, "rounded"),
    ]
}
