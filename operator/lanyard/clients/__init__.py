"""The only sockets: outbound HTTP, the API server. Knows protocols, not what they are for."""
