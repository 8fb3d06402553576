"""Use cases in numbered steps: gather, decide, act, report.

They call clients and stores and hold no rules of their own.
"""
