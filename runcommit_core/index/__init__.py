"""What a base holds: its files, layer by layer, kept in the cache."""
