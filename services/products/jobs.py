"""Background jobs of products."""

from services.products import variants, vocabulary


def rebuild_vocabulary() -> None:
    """Rebuild the vocabulary daily, and soon after a migration that rewrote products; refresh variants with it."""
    if vocabulary.rebuild_if_due():
        variants.refresh_all()


def complete_variants() -> None:
    """Store the variants that a request left undone."""
    variants.complete_due()
