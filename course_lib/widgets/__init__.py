"""One explorer: sliders above a picture."""

from course_lib.widgets.explorer import Choice, Explorer, FloatRange, IntRange, Toggle

__all__ = ["Choice", "Explorer", "FloatRange", "IntRange", "Toggle"]
