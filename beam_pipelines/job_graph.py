"""The job that a runner would get, built and looked at without running it: for Dataflow and others far away."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import DockerEnvironment, SubprocessSDKEnvironment
from google.protobuf import json_format

from beam_pipelines import files, tiling_pipeline
from beam_pipelines.command import in_one_list
from beam_pipelines.slide_list import SlideList
from beam_pipelines.tiling_run import TilingRun

DATAFLOW_LIMIT_BYTES = 10 * 2**20  # What its service takes in a request, unless told --experiments=upload_graph.


@dataclasses.dataclass(frozen=True)
class JobGraph:
    """A job, built.

    Attributes:
      content: Beam's protocol buffer of it.
      image: Container image of its workers, or "" when they run where it is started.
      stages: Its transforms, in order, by name.
    """

    content: Any
    image: str
    stages: Sequence[str]

    @property
    def job_bytes(self) -> int:
        return self.content.ByteSize()

    def json(self) -> str:
        return json_format.MessageToJson(self.content)

    def __str__(self) -> str:
        lines = [f"{len(self.stages)} steps, {self.job_bytes / 1024:,.0f} KiB; workers: {self.image or 'this machine'}"]
        if self.job_bytes > DATAFLOW_LIMIT_BYTES:
            lines.append("larger than Dataflow takes in a request: pass --experiments=upload_graph")
        return "\n".join([*lines, *(f"  {name}" for name in self.stages)])


def build_graph(slides: SlideList, run: TilingRun) -> JobGraph:
    """Builds the pipeline for the runner that the flags name; needs neither the runner nor a database.

    Args:
      slides: The input: it is part of the job, annotations and all.
      run: Settings; their Beam flags say where workers run (--sdk_container_image).
    """
    options = PipelineOptions(list(run.beam_flags))
    image = options.view_as(WorkerOptions).sdk_container_image or ""
    environment = SubprocessSDKEnvironment.from_command_string("worker")
    if image:
        environment = DockerEnvironment.from_container_image(image)
    # Some runner has to be there to build it, and the one that is asked may not be installed here.
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    in_one_list(tiling_pipeline.build(pipeline, list(slides.tasks), run), print)
    content = pipeline.to_runner_api(default_environment=environment)
    transforms = content.components.transforms
    root = transforms[content.root_transform_ids[0]]
    return JobGraph(content, image, [transforms[name].unique_name for name in root.subtransforms])


def write_graph(graph: JobGraph, path: str) -> None:
    """Writes it as JSON.

    Raises:
      OutputError: The file cannot be written.
    """
    files.write_bytes(path, graph.json().encode())
