"""Who is served here: domains, users, aliases and their policies (`docs/directory.md`)."""
