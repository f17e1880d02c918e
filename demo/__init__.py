"""The demo, `python -m demo`: a shopper and an administrator use the platform, step by step."""
