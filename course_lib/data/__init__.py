"""Digits and MNIST: tensors in [0, 1], splits that never overlap."""
