"""How fast, how much memory: two ways of doing the same thing, side by side in one run."""
