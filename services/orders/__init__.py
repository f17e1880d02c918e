"""Event-sourced orders, and the checkout saga."""
