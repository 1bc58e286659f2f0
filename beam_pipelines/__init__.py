"""Apache Beam pipelines around Cassandra tables of patches.

slides/             whole slides as arrays: pure functions, no Beam
cassandraio.py      ReadFromCassandra, WriteToCassandra: usable in any pipeline
tile_slides.py      slides + annotations -> both tables: the command and run()             start here
tiling_run.py       its settings, which import no Beam    options.py   its flags
tiling_pipeline.py  its stages                            summary.py   what became of every slide

The other files are parts of these; README.md has the whole map.
"""
