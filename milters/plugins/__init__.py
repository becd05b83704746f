"""Checks that others wrote, each in processes of its own."""
