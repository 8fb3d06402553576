"""The catalogue: one YAML file per product or family, its loader and checks, and the choice a Connection makes in it.

Pure but for reading the package's own files. Imports api, errors, reasons, yaml and pydantic.
"""
