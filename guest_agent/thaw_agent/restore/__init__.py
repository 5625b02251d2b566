"""What the agent does to a clone before user code runs in it: one module a step, `sequence` is the order."""
