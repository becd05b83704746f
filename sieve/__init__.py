"""Sieve (RFC 5228): so far the one script of the site, `templates/dovecot/sieve/junk.sieve`."""
