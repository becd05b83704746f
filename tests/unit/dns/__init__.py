"""Tests of `iems.dns`."""
