"""Stock, and reservations of it that expire."""
