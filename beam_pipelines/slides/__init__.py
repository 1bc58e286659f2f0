"""Whole slides as arrays. Pure functions: no Beam, no TensorFlow, no driver.

plan.py         slide + regions + options -> masks, patch locations, counts; cuts a patch     start here
open.py         a slide: size, levels, mpp, bounds; patches and thumbnails as arrays (content.py: its content id;
                mpp_table.py: the user's word on its mpp)
grid.py         GridSpec, by level or mpp; slide -> Grid of patches with stable ids; mask -> fraction of each
annotations.py  annotation files -> polygons in level-0 pixels, by slide, with every problem named
                (annotation_files.py: the formats QuPath GeoJSON and CSV with JSON paths; polygons.py: rings -> valid
                polygons)
masks.py        polygons -> masks; mask -> fraction of each coarser pixel; masks as PNG
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
