"""The HTTP service: images, clips and streams for programs, and a page for people.

Everything is read in memory. The one exception is a clip sent to ``/v1/video``: it lies in a private
temporary folder until it has been read.
"""
