"""Tests: unit, golden, integration (real servers), system (booted machines), qa."""
