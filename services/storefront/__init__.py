"""The shop that shoppers see: pages over the public routes of the other services. It stores nothing of its own."""
