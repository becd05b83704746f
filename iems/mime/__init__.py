"""Messages as trees of parts with byte offsets (RFC 2045, RFC 2046): pure."""
