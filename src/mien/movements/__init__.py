"""Movements of the face: 478 landmarks, the head's pose, and named measures of eyes, brows and mouth.

Everything follows from the landmarks by a formula; none of it is an emotion, and none an action unit.
"""
