"""The tool of this repository: the `mercato` command, the platform on one machine, and the contracts of services."""
