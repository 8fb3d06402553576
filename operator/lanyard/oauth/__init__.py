"""What goes on the wire: pure. Builds token requests and reads token answers; imports connectors, api, errors and jwt."""
