"""What is kept about payments at Stripe; without the library, which is imported only if Stripe is the provider."""

from chassis.store import Collection, Index

intents = Collection("stripe_intents", Index("intentId"))
"""{_id: key, intentId, createdAt}; without an intentId, the payment was canceled before it had an intent."""
events = Collection("stripe_events", Index("pending", partial={"pending": True}), Index("receivedAt"))
"""{_id: id of the event, payment, pending, receivedAt}: the webhooks that were received, until Stripe repeats none."""
