"""Mailsort: rules of people as data, and the Sieve (RFC 5228) that is made of them."""
