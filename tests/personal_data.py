"""What an export of a person's data leaves out, and why."""

INTERNAL = {
    *("_w", "_id", "version", "dedupKey", "outbox", "seq", "pending", "published", "slot", "last_seq"),
    *("credentialsVersion", "emailKey", "password", "secondFactor", "secondFactorOffer", "current", "previous"),
    *("erased", "erasurePending", "erasureRequests", "mailPending", "mailsDue", "retryAt", "refundPending"),
    *("tokenHash", "lines", "orders", "merged", "mergedInto", "abandonAt"),
    *("unsubscribeSecret", "unsubscribePending", "mailAttempts", "unknownOutcomes", "receipt"),
    *("revocationPending", "lastEndedSession", "userId", "signInNetworks"),
}
"""Fields of exported documents that say nothing about a person, or are secret."""
NOT_EXPORTED = {
    "idempotency": "answers of the last 24 hours, which repeat what the services keep",
    "revocations": "ids of ended sessions, until their access tokens expire",
    "account_mails": "mails on their way, and hashes of their tokens, for 30 minutes",
    "streams": "the events that the summaries of orders are made of",
    "sagas": "the steps of checkouts, which the timelines of orders show",
    "dead_letters": "events that wait to be handled; erasure deletes those of a user",
    "quotas": "units that a user has ordered or canceled within 24 hours, which the orders show",
    "stock": "the administrators who changed it",
    "movements": "the administrators who changed a stock",
    "first_administrator": "the id of the first administrator",
}
"""Collections that may name a user, and why they are not exported."""
