"""Where every millisecond goes: stages, operators, memory, on every runtime, one protocol."""
