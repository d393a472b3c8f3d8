"""The protocol of BioThings Studio: REST and SockJS on a port of its own, for the web application as it is.

A door of its own that may be taken away: nothing imports it but the hub's start (``hub/services.py``), by name, when
the setting ``studio_port`` has a value. ``server.py`` begins and ends it; ``handlers.py``, ``sockets.py``, ``logs.py``
and ``uploads.py`` are its paths; ``shapes.py`` is where Studio's names differ from ours.
"""
