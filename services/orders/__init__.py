"""Event-sourced orders, and the checkout saga that decides them."""
