"""The analyzer over HTTP: an API for programs, a WebSocket for tracked faces, and a page for people.

Uploads stay in memory. The only exception is a clip sent to ``/v1/video``: it is kept in a private temporary
folder until it has been analyzed.
"""
