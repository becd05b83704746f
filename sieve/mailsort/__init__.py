"""Rules as people write them: the model, and its texts (TOML for people, JSON for programs)."""
