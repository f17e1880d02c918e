"""Carts of guests and users."""
