"""The directory on a real slapd, and against a real Postfix."""
