"""The analyzer behind HTTP: an API for programs, a WebSocket for moving faces, and a page for people.

Everything is read in memory. The one exception is a clip sent to ``/v1/video``: it lies in a private
temporary folder until it has been read.
"""
