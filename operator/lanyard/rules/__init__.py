"""What should happen: pure functions of facts and `now`.

No input or output, no clock, no randomness; imports connectors, api, errors.
"""
