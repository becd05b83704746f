"""Private real servers: Postfix, Dovecot, slapd, rbldnsd, unbound, and our own daemons.

Each module starts one kind of server in a folder below one temporary folder, on free ports of the
loopback, and stops it again. Nothing here touches the instances that the system itself may run.
"""
