"""What every Mercato service is built on. Knows no service."""
