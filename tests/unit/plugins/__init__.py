"""Tests of the processes of plug-ins."""
