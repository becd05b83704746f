"""The words of the project as values: no file, no socket, no clock, no thread."""
