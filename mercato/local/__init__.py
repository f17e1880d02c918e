"""The platform on one machine: a launcher, and a small router in the Ingress's place."""
