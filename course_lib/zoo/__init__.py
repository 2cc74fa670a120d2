"""The trained models: weights, cards, loading."""

from course_lib.zoo.cards import ZooError, card, load, names, samples

__all__ = ["ZooError", "card", "load", "names", "samples"]
