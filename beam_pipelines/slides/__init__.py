"""Whole slides as arrays. Pure functions: no Beam, no TensorFlow, no driver.

plan.py         slide + regions + options -> masks, patch locations, counts; cuts a patch     start here
open.py         a slide: size, levels, mpp, bounds; patches and thumbnails as arrays (content.py: its content id;
                mpp_table.py: the user's word on its mpp; overview.py: a thumbnail past damage)
grid.py         GridSpec, by level or mpp; slide -> Grid of patches with stable ids; mask -> fraction of each
annotations.py  annotation files -> polygons in level-0 pixels, by slide, with every problem named
                (annotation_files.py: which format; annotation_geojson.py: QuPath; annotation_xml.py: ASAP, Aperio;
                annotation_records.py: what they all yield; polygons.py: rings -> valid polygons)
classes.py      ClassMap: label in a file -> class -> integer; which class covers which
placement.py    do the annotations lie on the tissue, and which offset would put them there?
masks.py        polygons -> masks; mask -> fraction of each coarser pixel; masks as PNG
labels.py       labels as data: exact share of each class in each patch, and the rule that makes a label of it
                (coverage.py: areas of polygons in boxes)
stain.py        how a slide is stained, and a patch as if another laboratory had stained it
tissue.py       thumbnail -> mask of tissue, or the user's own mask
quality.py      patch -> sharpness, pen marks, white, black; limits on them
tiles.py        TilingOptions; grid and fractions -> patch locations, and why the other positions are left
encode.py       pixels -> JPEG, PNG or TIFF bytes
output.py       files that appear whole or not at all
errors.py       SlideError, AnnotationError, OutputError

Words. A *nominal level* n, as every option means it, has downsample 2**n: one of its pixels covers 2**n x 2**n pixels
of level 0, whatever levels the file happens to hold. Level 6 is 64 x 64, level 9 is 512 x 512, which is 256 x 256
pixels of level 1. A slide "without level 9" is therefore tiled like any other: masks are geometry, and pixels come
from the best level the file has, averaged over the rest. Masks and patches that reach past the slide's edge see the
background colour there (the file's, else white), and nothing annotated; unscanned parts show it, too. `_l0` in a name:
level-0 pixels, origin at the top left of the whole scan plane
(OpenSlide's frame).
"""
