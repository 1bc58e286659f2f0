"""The demo: slides, patches in a Cassandra of its own, splits, training on two processes, a report.

run.py        runs it                                    start here
plan.py       what the stages do                         settings.py    what is asked, and where things go
stages.py     runs stages, skips what is done            state.py       what is done, on disk
children.py   programs that stages run                   workplace.py   folders that a stage continues in
services.py   the demo's Cassandra                       horovod.py     how training is started
console.py    progress on a terminal
predict.py    classifies a slide that was never seen     read_back.py   patches through the op
report.py     writes the report; lists its parts (drawing: beam_pipelines.drawing)
slides.py     composes slides from tissue pictures; lists its parts
"""
