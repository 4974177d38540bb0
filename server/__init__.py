"""The hypercorn and quart-trio server around `pipeline`."""
