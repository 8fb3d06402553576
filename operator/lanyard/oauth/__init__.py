"""What goes on the wire: pure. Builds token requests and reads token answers.

Imports connectors, api, errors, sensitive, jwt and cryptography.
"""
