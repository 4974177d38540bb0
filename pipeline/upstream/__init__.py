"""The only room with network I/O: each module speaks to one kind of upstream."""
