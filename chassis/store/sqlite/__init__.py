"""The embedded document store: one SQLite file."""
