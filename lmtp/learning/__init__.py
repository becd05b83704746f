"""The daemon that trains the filters of users (`lmtp/bayes/`): what it is told, and its queue."""
