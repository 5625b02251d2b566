"""The host's end of the agent channel. The frames themselves are `thaw_agent.wire`, shared with the guest."""
