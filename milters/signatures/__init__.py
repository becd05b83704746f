"""Signatures over messages (DKIM, ARC): read and verified; no check and no socket."""
