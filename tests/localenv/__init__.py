"""Real servers for tests, the demo and the bench, as plain processes on loopback: no Docker, nothing installed.

What may live here: how a server is found or built, started, prepared and ended. What a test expects of it does not.
"""
