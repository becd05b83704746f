"""What outlives a process: keys, records, quarantine, spool."""
