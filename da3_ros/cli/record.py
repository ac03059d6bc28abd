"""`da3 record`: real topics into a bag."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.errors import SinkError
from da3_ros.foreign import plain_path
from da3_ros.options.table import Entrance


@takes_options(Entrance.BAGS)
def record(
    out: Annotated[Path, typer.Argument(help='OUT.mcap or OUT.db3 for one file, else a folder.')],
    overwrite: bool,
    topics: Annotated[list[str] | None, typer.Argument(help='Topics to record.')] = None,
    all_topics: Annotated[
        bool, typer.Option('--all', help='Record every topic that has a publisher.')
    ] = False,
    seconds: Annotated[float | None, typer.Option(help='Stop after this time.')] = None,
    max_messages: Annotated[
        int | None, typer.Option(min=1, help='Stop after this many messages.')
    ] = None,
    use_sim_time: Annotated[
        bool | None,
        typer.Option(
            '--use-sim-time/--no-use-sim-time',
            help='Log times of /clock, so that the bag plays together with the one that is '
            'replayed; default: where /clock is published, or some node waits for it.',
        ),
    ] = None,
) -> None:
    """Write topics to a bag until Ctrl-C or a limit; the bag is complete then.

    Until then it lies in the folder OUT.unfinished.*, where all but the last second can be read
    when the recorder is killed. Prints "ready" when it listens, "recording TOPIC [TYPE]" for each
    topic once it is subscribed to, and a summary at the end.
    """
    from tqdm import tqdm

    from da3_ros.cli.process import import_ros, stop_on_signals
    from da3_ros.process import READY
    from da3_ros.sinks.bag import BagWriter

    recorder_module = import_ros('da3_ros.ros.bags.recorder', 'record')
    session = import_ros('da3_ros.ros.client.session', 'record')
    options = recorder_module.RecordOptions(
        topics=tuple(topics or ()),
        all_topics=all_topics,
        seconds=seconds,
        max_messages=max_messages,
        use_sim_time=use_sim_time,
    )

    def announce(topic: str, msgtype: str) -> None:
        print(f'recording {topic} [{msgtype}]', flush=True)

    with (
        stop_on_signals() as stop,
        BagWriter(out, overwrite=overwrite, keeps_unfinished=True) as bag,
        session.tool_node('da3_record') as ros,
        tqdm(total=max_messages, unit='msg', desc='recording', disable=None) as bar,
    ):
        recorder = recorder_module.BagRecorder(*ros, bag, options, stop, announce)
        recorder.discover()
        print(READY, flush=True)
        summary = recorder.record(on_message=bar.update)
        if not summary.messages and os.path.lexists(out):
            raise SinkError(f'record: not one message came; {out} stays as it was')
    print(f'recorded {summary.messages} messages in {summary.seconds:.2f} s to {plain_path(out)}')
    print(f'log times: {summary.clock}')
    for topic, count in summary.counts:
        print(f'  {topic}: {count}')
    if summary.missing_topics:
        print(f'never published: {", ".join(summary.missing_topics)}')
