"""Recorded releases: what each left in stores and contracts, for tests of later versions to replay."""
