"""Generation of data sets of texts, written shard by shard and completed by a manifest file."""
