"""Domains, users, aliases: what an address is and where it leads, without a server."""
