"""Processes: kopf, command line, settings, telemetry, wiring. The only room that knows frameworks."""
