"""The bridge of Cursor's SDK: a program that is started here, asked over the loopback interface, and stopped with all that it left behind."""
