"""Who is who in a clip: scene cuts, tracks of faces, portraits, and the numbers of people."""
