"""Stray dots, counted on pictures small enough to see."""

import torch

from course_lib.measurement.stray_dots import stray_dots


def test_stray_dots_are_black_pixels_with_no_black_neighbour():
    picture = torch.zeros(3, 1, 5, 5)
    picture[0, 0, 0, 0] = 1
    picture[0, 0, 2, 2:4] = 1
    picture[1, 0, 1, 1] = picture[1, 0, 2, 2] = 1
    assert stray_dots(picture[:1]) == 1 and stray_dots(picture[1:2]) == 2
    assert stray_dots(picture) == 1 and stray_dots(torch.ones(1, 1, 4, 4)) == 0
