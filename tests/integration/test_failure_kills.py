"""Nothing that was answered 250 is lost when processes die, however they die.

Real daemons under their own users between a real Postfix and a real Dovecot; `kill -9` at exact
moments and at random ones.
"""
