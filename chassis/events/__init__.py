"""Events: how a service publishes its events, and how it consumes those of other services.

    publisher                                                  consumer
    document with outbox  --relay-->  topic <service>.events  --consumer-->  handler -> document with inbox
                                                                  |-> dead letters --relay-->  topic <consumer>.dead

The outbox stores an event in the same write as the state change, so no event is lost. The relay publishes the events of
an aggregate in order, each at least once. The inbox deduplicates redelivered events. An event that cannot be handled is
kept as a dead letter, while events of other keys are handled.
"""
