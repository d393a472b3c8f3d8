"""The stages of a hub, one folder each: ``manager.py`` (state and commands), ``models.py`` (documents), ``steps.py``
(pure functions that workers run), ``errors.py``.
"""
