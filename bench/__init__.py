"""What the suite costs: the same mail through Postfix and Dovecot with it and without it."""
