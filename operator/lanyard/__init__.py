"""Connections as code for Kubernetes."""
