"""The flows, and the command `dsir`: parsing of arguments, and printing."""
