"""`/etc/iems/iems.toml`: schema, load, check. Immutable once loaded."""
