"""Checks, hints, and the command-line grader."""
