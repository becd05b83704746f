"""Notices to people; their texts stand beside the code."""
