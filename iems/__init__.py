"""IEMS: what Postfix and Dovecot lack, as libraries that the milter, the agent and `iems` share."""
