"""Sans-I/O codecs: bytes to messages and back."""
