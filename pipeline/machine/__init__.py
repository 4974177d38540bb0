"""Sans-I/O state machines: what a model wrote becomes events."""
