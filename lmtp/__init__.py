"""The agent between Postfix and the mailboxes: LMTP in, one verdict per recipient, LMTP out."""
