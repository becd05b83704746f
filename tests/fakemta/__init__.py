"""An MTA of ours for tests: it speaks to a milter as Postfix 3.7 does, and runs command scripts.

`script` reads scripts, `session` is the MTA's side of SMTP, `message` applies a filter's edits,
`wire` and `milter` speak the milter protocol (version 6), `chain` drives `milters.chain` without
any protocol, `transcript` prints what happened in a form that can be compared and recorded.
"""
