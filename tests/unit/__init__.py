"""Tests without network, clock or disk beyond a temporary folder."""
