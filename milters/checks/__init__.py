"""The checks of the milter, one module each; what a check is stands in `protocol`."""
