"""Mailsort to Sieve: the script that does for each message what the rules mean."""
