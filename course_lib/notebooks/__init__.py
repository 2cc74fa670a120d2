"""Notebooks on disk: refreshing outputs, keeping pairs in step, making exercises from solutions."""
