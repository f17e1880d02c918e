"""What every process of the platform imports: the fork server imports it once, for all of them."""

import os

import chassis.processes
import chassis.service
import chassis.store.engines
import chassis.web.api
import chassis.web.app
import chassis.web.server
import mercato.local.router
import mercato.settings  # noqa: F401  the import is all that matters

if os.environ.get("MONGODB_URI"):
    import chassis.store.mongodb.store
if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
    import chassis.bus.kafka.bus
    import chassis.bus.kafka.consumer  # noqa: F401  the import is all that matters

os.setsid()  # signals to the launcher's group, such as when its terminal closes, must reach the launcher only
