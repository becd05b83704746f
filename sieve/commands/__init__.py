"""The commands of `iems-sieve`, one module each, and what they share."""
