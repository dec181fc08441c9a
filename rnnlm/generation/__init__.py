"""Bulk generation: texts step together, shards are written whole, a manifest closes the set."""
