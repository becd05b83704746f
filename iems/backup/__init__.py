"""A backup of what a server knows, and its way back onto a machine."""
