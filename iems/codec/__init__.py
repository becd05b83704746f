"""Bytes to model and back: header fields, our findings header, Authentication-Results."""
