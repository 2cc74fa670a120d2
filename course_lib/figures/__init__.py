"""One look for every figure."""

from course_lib.figures.style import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    PALETTE,
    PURPLE,
    SEQUENTIAL,
    SIGNED,
    SKY,
    VERMILION,
    figure,
    image_grid,
    png,
    show,
)

__all__ = [
    "AMBER",
    "BLUE",
    "FAINT",
    "GREEN",
    "GREY",
    "INK",
    "PALETTE",
    "PURPLE",
    "SEQUENTIAL",
    "SIGNED",
    "SKY",
    "VERMILION",
    "figure",
    "image_grid",
    "png",
    "show",
]
