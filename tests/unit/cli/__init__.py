"""The commands that write the directory, driven with a tree in memory."""
