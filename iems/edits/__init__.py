"""Edits: pure functions that say by splices what they change in a message (ADR 0023)."""
