"""What users write and read: one pydantic model per kind, shared types, and the renderer of `crds/`.

No rules of behaviour live here, only shapes, bounds and the CEL that the API server enforces. Imports pydantic and
`reasons`, nothing else of Lanyard.
"""
