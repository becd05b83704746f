"""Scripts and messages with recorded results; `make golden` records them anew."""
