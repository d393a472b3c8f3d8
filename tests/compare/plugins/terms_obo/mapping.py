def term_mapping(cls):
    return {
        "label": {"type": "text"},
        "synonym": {"properties": {"text": {"type": "text"}, "scope": {"type": "keyword"}}},
        "parents": {"type": "keyword", "normalizer": "keyword_lowercase_normalizer"},
    }
