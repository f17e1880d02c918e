"""The Flask app of a service, and the server that runs it."""
