"""The catalogue: products, prices, categories, and a view of their stock."""
