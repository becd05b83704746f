"""Edits of mail that flows."""
