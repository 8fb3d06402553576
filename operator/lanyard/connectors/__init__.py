"""The catalogue: one YAML file per product or family, and its loader. Imports api, errors and the standard library."""
