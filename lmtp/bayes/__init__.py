"""A filter that learns from one user's corrections: usable without a mail server.

It imports nothing of the agent; whatever it needs is an argument. `tokens` makes words of a
message, `features` hashes them, `classifier` names what judges by them, `state` is what such a one
has learned of a user, and `evaluation` shows it a stream of mail as a user would.
"""
