"""What octets are by their content, and what is in those that are archives: pure, and bounded."""
