"""A customer and an administrator at work, step by step: `python -m demo`."""
