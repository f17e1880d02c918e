"""Charges and refunds, through a provider."""
