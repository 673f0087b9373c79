"""Whether a handler keeps to the specification in `protocol/`, and what its author has to mend."""
