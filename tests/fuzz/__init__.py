"""Laws about hostile bytes, and three that look for bytes that break them.

A target takes any bytes and returns, or raises where a law is broken. `make fuzz` lets a fuzzer
that sees which branches are taken look for such bytes, `make test` replays what is in `corpus/` and
draws some more. Bytes that broke a law once are kept there.
"""
