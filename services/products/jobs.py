"""Background job of products."""

from services.products import vocabulary


def rebuild_vocabulary() -> None:
    """Rebuild the vocabulary daily, and soon after a migration that rewrote products."""
    vocabulary.rebuild_if_due()
