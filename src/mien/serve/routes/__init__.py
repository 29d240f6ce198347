"""The routes: images, clips, the stream, and the state of the server."""
