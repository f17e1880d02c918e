"""The catalog: products, prices, categories, and a view of their stock."""
