"""What makes a machine a mail server: the parts that can be tried without one."""
