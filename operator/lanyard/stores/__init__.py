"""Credential stores, one module each, and the encrypted cache in front of them.

A store turns a place into a `StoreValue` or raises `StoreError` or `SourceError` with the reason. Stores do not know
each other, nor what a credential is for; sockets come from `clients`.
"""
