"""Tests with real servers: private instances below a temporary folder, on private ports."""
