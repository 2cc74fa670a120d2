"""Answers as learners write them: right ones written differently, and wrong ones with the diagnosis each must get."""
