"""Products: the catalog, and a view of the stock that `inventory` publishes."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from services.inventory.messages import StockChanged
from services.products import application, downloads, handlers, jobs, pictures, repository, vocabulary
from services.products.api import api
from services.products.catalog_api import catalog_api
from services.products.imports_api import imports_api
from services.products.messages import PriceItems, ProductCreated, ProductDeleted, ProductUpdated
from services.products.pictures_api import pictures_api
from services.users.messages import GetAccess, SessionsRevoked, UserDeleted

service = Service("products")
service.stores(repository.products, vocabulary.words, vocabulary.state)
service.publishes(EmbeddedOutbox("products", repository.products), ProductCreated, ProductUpdated, ProductDeleted)
service.serves(api)
service.serves(catalog_api)
service.serves(imports_api)
service.serves(pictures_api)
service.stores_blobs(pictures.blobs)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.calls("inventory")
service.answers(PriceItems, application.price_items)
service.on(StockChanged, handlers.on_stock_changed)
service.on(ProductCreated, handlers.on_product_changed)
service.on(ProductUpdated, handlers.on_product_changed)
service.on(ProductDeleted, handlers.on_product_changed)
service.schedules(jobs.complete_variants, every_s=1)
service.schedules(downloads.download_pictures, every_s=5)
service.schedules(jobs.rebuild_vocabulary, every_s=30)
