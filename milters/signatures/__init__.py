"""Signatures over messages (DKIM, ARC): read, canonicalised, verified; no check and no socket."""
