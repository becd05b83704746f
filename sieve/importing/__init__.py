"""Rules of other programs read into Mailsort: one module a program, each with `read(bytes)`."""
