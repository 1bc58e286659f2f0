"""Slides, masks and patches as pictures, and pages that show them. No Beam, no TensorFlow, no driver.

views.py        what is drawn of a slide               start here
overlays.py     on a thumbnail: patches, masks, the grid, stored patches put back in their places, probabilities
pictures.py     pixels and encoded patches -> data URIs
palette.py      colours                                wording.py     numbers as people read them
page.py         what pages share: filters and templates/page.css
"""
