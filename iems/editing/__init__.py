"""Edits of mail that flows: which are due, and what each makes of a message."""
