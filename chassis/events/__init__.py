"""Events: how they leave a service (outbox, relay) and how they arrive in another (consumer, inbox, dead letters)."""
