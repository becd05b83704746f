"""What the mail system answers while a server that it needs is away or hangs.

Real daemons under their own users behind a real Postfix. The rule everywhere: what cannot be asked
or written is a temporary failure; nothing is refused for good, nothing passes unchecked, and all
of it arrives once the server is back.
"""
