"""Apache Beam pipelines around Cassandra tables of patches.

slides/            whole slides as arrays: pure functions, no Beam
cassandraio.py     ReadFromCassandra, WriteToCassandra: usable in any pipeline
tile_slides.py     slides + annotations -> both tables
ingest_images.py   class-per-folder images -> both tables
"""
