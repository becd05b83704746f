"""Small daemons under the real supervisor, as processes of their own."""
