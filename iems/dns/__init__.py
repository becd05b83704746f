"""DNS questions of the checks: the protocol, a stub for daemons and a zone file for tests."""
