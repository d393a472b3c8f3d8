def assays(cls):
    mapping = {"assay": {"properties": {"name": {"type": "text"}, "value": {"type": "float"}}}}
    return mapping
