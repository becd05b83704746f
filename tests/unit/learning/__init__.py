"""The training daemon, without its servers."""
