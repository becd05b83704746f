"""Changes to messages: from a message and what is wanted to what is put in; pure."""
