"""The document store in MongoDB, by PyMongo."""
