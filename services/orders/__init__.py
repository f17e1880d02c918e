"""Event-sourced orders, and the checkout saga that confirms or rejects them."""
