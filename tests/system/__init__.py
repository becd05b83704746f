"""Tests on booted machines: the playbook provisions them, the tests use them as people would."""
