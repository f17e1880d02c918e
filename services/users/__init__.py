"""Accounts, credentials, refresh-token families, signing keys."""
