"""What every process of the platform imports, imported once: by the fork server, and by nobody else."""

import os

import chassis.service
import chassis.store.engines
import chassis.web.api
import chassis.web.app
import chassis.web.server  # noqa: F401  to have been imported is all

if os.environ.get("MONGODB_URI"):
    import chassis.store.mongodb.store
if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
    import chassis.bus.kafka.bus
    import chassis.bus.kafka.consumer  # noqa: F401  the same

os.setsid()  # what is sent to the launcher's group, as when its terminal closes, is the launcher's to pass on
