"""How senders hide a file from those who look for it."""
