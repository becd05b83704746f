"""What every daemon needs and is written once: supervisor, workers, drain, deadline, jobs, log."""
