"""Content filters that score a message: two protocols behind one question (docs/adr/0011)."""
