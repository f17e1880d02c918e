"""Stock, and reservations that expire."""
