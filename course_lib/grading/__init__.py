"""Checks, hints, and the command-line grader."""

from course_lib.grading.notebook import check, hint, when_solved

__all__ = ["check", "hint", "when_solved"]
